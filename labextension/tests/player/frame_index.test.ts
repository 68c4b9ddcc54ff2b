import { describe, expect, it } from "vitest";
import { FrameIndex } from "../../src/components/player/frame_index";

/** What a browser says: seconds, rounded to microseconds. */
function said(seconds: number): number {
  return Math.round(seconds * 1e6) / 1e6;
}

const NTSC = FrameIndex.regular(216_000, { start: 0, step: 1001, timescale: 60_000 });
const LATE = FrameIndex.regular(100, { start: 45_000, step: 1000, timescale: 30_000 });
// 13 and 43 ms in turns, and a gap of a second.
const TIMES = new Float64Array(101);
for (let frame = 1; frame <= 100; frame++) {
  TIMES[frame] = (TIMES[frame - 1] ?? 0) + (frame === 50 ? 1 : frame % 2 ? 0.013 : 0.043);
}
const UNEVEN = FrameIndex.table(TIMES);

describe.each([
  ["59.94 frames a second for an hour", NTSC],
  ["a first time above zero", LATE],
  ["a rate that varies", UNEVEN],
])("frames of %s", (_name, index) => {
  it("are found by the times that a browser says", () => {
    const wrong: number[] = [];
    for (let frame = 0; frame < index.frames; frame += index.frames > 1000 ? 37 : 1) {
      if (index.nearest(said(index.time(frame))) !== frame) wrong.push(frame);
    }
    expect(wrong).toEqual([]);
  });

  it("are sought in the middle of the time in which they are shown", () => {
    for (const frame of [0, 1, 7, index.frames - 1]) {
      const middle = index.middle(frame);
      expect(middle).toBeGreaterThan(index.time(frame));
      expect(middle).toBeLessThan(index.time(frame + 1));
      expect(index.containing(middle)).toBe(frame);
    }
  });

  it("are no others than there are", () => {
    expect([index.nearest(-5), index.nearest(1e9)]).toEqual([0, index.frames - 1]);
    expect([index.clamp(-3), index.clamp(1e9), index.clamp(2.4)]).toEqual([0, index.frames - 1, 2]);
  });
});

it("the frame to be seen at a time is the one that began last", () => {
  expect(UNEVEN.containing((TIMES[50] ?? 0) - 0.001)).toBe(49);
  expect(UNEVEN.containing(TIMES[50] ?? 0)).toBe(50);
});

it("a video of one frame has a middle, too", () => {
  const one = FrameIndex.table(Float64Array.of(0, 0.04));
  expect([one.frames, one.middle(0), one.nearest(3)]).toEqual([1, 0.02, 0]);
});
