import { describe, expect, it } from "vitest";
import { fieldsOf, Mistyped, typed, valueOf, type Field } from "../src/components/launch/fields";
import type { Schema } from "../src/server/types";
import schema from "./schema.json";

/** What GET /schema answers, written by `make docs`. */
const SCHEMA = schema as unknown as Schema;

function fields(analysis: string): Field[] {
  const { usual, more } = fieldsOf(analysis, SCHEMA[analysis]?.parameters ?? {});
  return [...usual, ...more];
}

function field(analysis: string, name: string): Field {
  const found = fields(analysis).find((each) => each.name === name);
  if (!found) throw new Error(`${analysis} has no field ${name}`);
  return found;
}

describe.each(Object.keys(SCHEMA))("the form of %s", (analysis) => {
  it("has every parameter once, each with what it means", () => {
    const names = fields(analysis).map((each) => each.name);
    expect(names.sort()).toEqual(Object.keys(SCHEMA[analysis]?.parameters.properties ?? {}).sort());
    expect(fields(analysis).filter((each) => each.help === "")).toEqual([]);
  });

  it("shows what is needed without a click", () => {
    const { more } = fieldsOf(analysis, SCHEMA[analysis]?.parameters ?? {});
    expect(more.filter((each) => each.required)).toEqual([]);
  });

  it("offers something to choose wherever only some values will do", () => {
    for (const each of fields(analysis)) {
      expect(each.kind === "choice" || each.kind === "choices", each.name).toBe(each.options.length > 0);
    }
  });

  it("reads every default as it was written", () => {
    for (const each of fields(analysis)) {
      if (each.default !== null && each.kind !== "mapping") {
        expect(valueOf(each, typed(each.default)), each.name).toEqual(each.default);
      }
    }
  });
});

it.each([
  ["sleep", "time", "number"],
  ["video", "model", "model"],
  ["video", "snapshot_index", "integer"],
  ["video", "cropping", "list"],
  ["video", "formats", "choices"],
  ["video", "on_bad_frame", "choice"],
  ["video", "session_start", "text"],
  ["label", "draw_skeleton", "flag"],
  ["label", "colormap", "choice"],
  ["triangulate", "frame_offset", "mapping"],
] as const)("%s.%s is asked for as %s", (analysis, name, kind) => {
  expect(field(analysis, name).kind).toBe(kind);
});

describe("what was typed", () => {
  it("becomes the value that is meant", () => {
    expect(valueOf(field("sleep", "time"), " 2.5 ")).toBe(2.5);
    expect(valueOf(field("video", "cropping"), "0, 640; 0,480")).toEqual([0, 640, 0, 480]);
    expect(valueOf(field("video", "save_as_csv"), "false")).toBe(false);
    expect(valueOf(field("triangulate", "frame_offset"), "camera-1=0, camera-2 = 3")).toEqual({
      "camera-1": 0,
      "camera-2": 3,
    });
    expect(valueOf(field("video", "stop"), "")).toBeNull();
  });

  it.each([
    ["sleep", "time", "soon", "“soon” is no number."],
    ["sleep", "time", "-1", "This is 0 at least."],
    ["sleep", "time", "1e9", "This is 86400 at most."],
    ["sleep", "time", "  ", "This is needed."],
    ["video", "stop", "2.5", "“2.5” is no whole number."],
    ["video", "cropping", "0, left", "“left” is no whole number."],
    ["triangulate", "frame_offset", "3", "“3” is no pair: type camera-1=5, camera-2=3."],
  ])("%s.%s: %o is told in a sentence", (analysis, name, text, sentence) => {
    expect(() => valueOf(field(analysis, name), text)).toThrow(new Mistyped(sentence));
  });

  it("of what must be more than a bound, the bound itself is refused too", () => {
    expect(() => valueOf(field("filter", "alpha"), "0")).toThrow("This is more than 0.");
    expect(() => valueOf(field("filter", "alpha"), "1")).toThrow("This is less than 1.");
  });
});
