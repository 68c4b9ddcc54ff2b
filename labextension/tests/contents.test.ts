import { describe, expect, it } from "vitest";
import { asDataFrame, contents, meaningOf, shownAs, told } from "../src/components/results/contents";
import { comesFrom, kindOf, shownBy } from "../src/components/files/about";
import type { StoredFile } from "../src/server/types";

function file(filename: string, more: Partial<StoredFile> = {}): StoredFile {
  return {
    file_id: "0".repeat(40),
    filename,
    names: [filename],
    content_type: "application/octet-stream",
    size: 1,
    created: "2026-01-01T00:00:00Z",
    origin: "upload",
    media: null,
    ...more,
  };
}

describe("a result", () => {
  const found = contents(
    {
      h5_file: "a".repeat(40),
      csv_file: null,
      fps: 29.97003,
      frames: 108_000,
      bodyparts: ["snout", "tail"],
      skeleton: [["snout", "tail"]],
      "camera-1_h5_file": "b".repeat(40),
      reprojection_error: { median: 0.41234, p95: 1.2 },
      notes: ["The video is cut off."],
      warnings: [{ kind: "swapped", message: "The cameras look swapped.", cameras: ["a", "b"] }],
      provenance: { versions: {} },
    },
    { h5_file: "The poses.", "<camera>_h5_file, <camera>_csv_file": "Of that camera.", "frames, rows": "How many." },
  );

  it("is taken apart: what to read first, files, numbers with what they mean", () => {
    expect(found.notes).toEqual(["The video is cut off."]);
    expect(found.warnings).toEqual(["The cameras look swapped."]);
    expect(found.files.map((each) => [each.field, each.meaning])).toEqual([
      ["h5_file", "The poses."],
      ["camera-1_h5_file", "Of that camera."],
    ]);
    expect(found.facts.map((each) => [each.label, each.text, each.meaning])).toEqual([
      ["Frames", "108\u202f000", "How many."],
      ["Fps", "29.97", ""],
      ["Reprojection error", "median 0.4123 · p95 1.2", ""],
      ["Bodyparts", "snout, tail", ""],
    ]);
    expect(found.details.map((each) => [each.label, each.text])).toEqual([["Skeleton", "snout–tail"]]);
    expect(found.provenance).toEqual({ versions: {} });
  });

  it("takes no other field for one of a pattern", () => {
    expect(meaningOf("h5_file", { "<camera>_h5_file": "Of that camera." })).toBe("");
    expect(meaningOf("camera.1_h5_file", { "<camera>_h5_file": "Of that camera." })).toBe("Of that camera.");
  });

  it("says most of what fits several patterns", () => {
    const meanings = { "<camera>_h5_file": "Of that camera.", "<camera>_filtered_h5_file": "Smoothed." };
    expect(meaningOf("camera-1_filtered_h5_file", meanings)).toBe("Smoothed.");
  });

  it.each([
    [{ median: 0.3, by_camera: { a: { median: 0.2 } } }, "median 0.3"],
    [true, "yes"],
    [0.000123456, "0.0001235"],
    [1234.5678, "1234.6"],
    [null, ""],
    [[], ""],
  ])("%o is read as %o", (value, text) => {
    expect(told(value)).toBe(text);
  });

  it("has Python for the next cell where there are poses or points", () => {
    expect(asDataFrame("abc", { h5_file: "x" })).toBe(
      'from dlc_jupyter import Client\nposes = Client().analysis("abc").poses()',
    );
    expect(asDataFrame("abc", { h5_file: "x", reprojection_error: {} })).toContain(".points()");
    expect(asDataFrame("abc", { csv_file: "x", sleep_time: 1 })).toBeNull();
  });

  it("shows pictures and videos that browsers play, in place", () => {
    expect(shownAs(file("speed.svg", { content_type: "image/svg+xml" }))).toBe("picture");
    expect(shownAs(file("day1_labeled.mp4", { content_type: "video/mp4" }))).toBe("video");
    expect(shownAs(file("day1.avi", { content_type: "video/x-msvideo" }))).toBeNull();
    expect(shownAs(undefined)).toBeNull();
  });
});

describe("a file", () => {
  const labelled = file("day1_labeled.mp4", { content_type: "video/mp4", origin: "an-analysis" });

  it("is found by any word of its names, among those that are wanted", () => {
    const renamed = file("b.mp4", { names: ["b.mp4", "Mouse 7 day1.mp4"] });
    expect(shownBy(renamed, "videos", "day1 mouse")).toBe(true);
    expect(shownBy(renamed, "videos", "day2")).toBe(false);
    expect(shownBy(renamed, "made", "")).toBe(false);
    expect(shownBy(labelled, "videos", "")).toBe(false);
    expect(shownBy(labelled, "made", "")).toBe(true);
    expect(shownBy(labelled, "all", "0000")).toBe(true);
  });

  it("is told by what is in it, else by its name", () => {
    const media = {
      container: "mp4",
      codec: "h264",
      width: 640,
      height: 480,
      fps: 29.97,
      frames: 600,
      duration: 20.02,
      variable_rate: false,
      sound: false,
      missing: null,
      notes: [],
    };
    expect(kindOf(file("a.mp4", { media }))).toBe("20 s · 640 × 480 · 29.97 fps");
    expect(kindOf(file("day1DLC_full.pickle"))).toBe("all that the network found");
    expect(kindOf(file("day1DLC.h5"))).toBe("DeepLabCut's table");
    expect(kindOf(file("x.bin"))).toBe("application/octet-stream");
    expect(comesFrom(labelled, () => undefined)).toBe("made by an analysis");
  });
});
