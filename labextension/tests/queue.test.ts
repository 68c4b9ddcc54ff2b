import { describe, expect, it } from "vitest";
import { inOrder, inputs, matches } from "../src/components/queue/order";
import { fraction, standing } from "../src/components/queue/queue";
import type { Analysis, State, StoredFile } from "../src/server/types";

function analysis(id: string, state: State, more: Partial<Analysis> = {}): Analysis {
  return {
    analysis_id: id,
    analysis: "video",
    file_id: ["f1"],
    parameters: { model: "mouse" },
    state,
    progress: null,
    position: null,
    created: "2026-01-01T00:00:00Z",
    started: null,
    finished: null,
    owner: "",
    attempt: 1,
    ...more,
  };
}

const files: Record<string, string> = { f1: "day1.mp4", f2: "day2.mp4" };
const file = (id: string): StoredFile | undefined =>
  id in files ? ({ filename: files[id] ?? "" } as StoredFile) : undefined;

describe("the queue", () => {
  it("is in the order in which things happen, what has ended below", () => {
    const ids = inOrder([
      analysis("old", "succeeded", { finished: "2026-01-01T00:00:01Z" }),
      analysis("second", "queued", { position: 2 }),
      analysis("new", "failed", { finished: "2026-01-01T00:00:02Z" }),
      analysis("first", "queued", { position: 1 }),
      analysis("now", "running"),
    ]).map((each) => each.analysis_id);
    expect(ids).toEqual(["now", "first", "second", "new", "old"]);
  });

  it.each([
    ["all", "", true],
    ["all", "day1 MOUSE", true],
    ["all", "day2", false],
    ["all", "abc1", true],
    ["all", "c123", false],
    ["all", "12", false],
    ["active", "", false],
    ["failed", "", true],
    ["succeeded", "", false],
  ] as const)("a failed one is shown by %s and %o: %o", (filter, typed, shown) => {
    expect(matches(analysis("abc123", "failed"), filter, typed, file)).toBe(shown);
  });

  it("names files by what they are called, or by their ids where they are gone", () => {
    expect(inputs(analysis("a", "queued", { file_id: ["f1", "0123456789"] }), file)).toBe("day1.mp4, 01234567");
  });

  it.each([
    [analysis("a", "queued", { position: 1 }), "next"],
    [analysis("a", "queued", { position: 3 }), "2 before it"],
    [analysis("a", "running"), "starting …"],
    [
      analysis("a", "running", { progress: { done: 1200, total: 54_000, unit: "frames", rate: 41.3, eta: 1280 } }),
      "1\u202f200 of 54\u202f000 frames · 41 frames/s · 21 min left",
    ],
    [
      analysis("a", "succeeded", { started: "2026-01-01T00:00:00Z", finished: "2026-01-01T00:01:30Z" }),
      "done just now, took 2 min",
    ],
    [analysis("a", "failed", { finished: "2026-01-01T00:01:30Z" }), "failed just now"],
  ])("%# where it stands, in a few words", (each, words) => {
    expect(standing(each, Date.parse("2026-01-01T00:01:31Z"))).toBe(words);
  });

  it("knows how far one is only where there is a whole", () => {
    expect(fraction(analysis("a", "running"))).toBeNull();
    expect(fraction(analysis("a", "running", { progress: { done: 3, total: null, unit: "frames" } }))).toBeNull();
    expect(fraction(analysis("a", "running", { progress: { done: 3, total: 12, unit: "frames" } }))).toBe(0.25);
  });
});
