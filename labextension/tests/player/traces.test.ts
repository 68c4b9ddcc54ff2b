import { describe, expect, it } from "vitest";
import { FrameIndex } from "../../src/components/player/frame_index";
import { castOf, USUAL } from "../../src/components/player/look";
import { PoseStore } from "../../src/components/player/pose_store";
import { tracesOf, unitOf, type Quantity, type TraceOptions } from "../../src/components/player/traces";
import { likelihood, number, POINTS, Poses } from "./poses";

async function options(frames: number, quantity: Quantity, more: Partial<TraceOptions> = {}): Promise<TraceOptions> {
  const poses = new PoseStore(new Poses(frames).fetch, 3);
  await poses.open(0);
  return {
    poses,
    cast: castOf(POINTS, [], USUAL),
    index: FrameIndex.regular(5000, { start: 0, step: 1, timescale: 100 }),
    quantity,
    good: () => true,
    left: 0,
    top: 0,
    ...more,
  };
}

describe("traces", () => {
  it("are the numbers themselves where there is room for them", async () => {
    const [frames, snout, tail] = tracesOf({ from: 3, to: 6 }, 100, await options(10, "y", { top: 7 }));
    expect(frames).toEqual([3, 4, 5]);
    expect(snout).toEqual([3, 4, 5].map((frame) => number(frame, 0, 1) + 7));
    expect(tail).toEqual([3, 4, 5].map((frame) => number(frame, 1, 1) + 7));
  });

  it("are two numbers for each pixel where there is not, with the least and the largest", async () => {
    const [frames, snout] = tracesOf({ from: 0, to: 4000 }, 200, await options(4000, "x"));
    expect(frames).toHaveLength(400);
    expect(snout?.slice(0, 4)).toEqual([0, 19, 20, 39].map((frame) => number(frame, 0, 0)));
    const [, sure] = tracesOf({ from: 0, to: 4000 }, 200, await options(4000, "likelihood"));
    expect(sure?.slice(0, 2)).toEqual([0, Math.fround(0.9)]);
  });

  it("have gaps where there are no poses, and where they are not good enough", async () => {
    const [, snout] = tracesOf({ from: 8, to: 12 }, 100, await options(10, "x"));
    expect(snout).toEqual([8000, 9000, null, null]);
    const good = (value: number): boolean => value > 0.45;
    const [, picked] = tracesOf({ from: 3, to: 7 }, 100, await options(10, "x", { good }));
    expect(picked).toEqual([null, null, 5000, 6000]);
    const [, sure] = tracesOf({ from: 3, to: 5 }, 100, await options(10, "likelihood", { good }));
    expect(sure).toEqual([3, 4].map((frame) => Math.fround(likelihood(frame))));
  });

  it("of speed are by the times of the frames", async () => {
    const [, snout] = tracesOf({ from: 0, to: 3 }, 100, await options(10, "speed"));
    // 1000 pixels along and 1000 down in a hundredth of a second.
    expect(snout).toEqual([null, Math.sqrt(2e6) * 100, Math.sqrt(2e6) * 100]);
  });

  it("say their units", () => {
    expect([unitOf("x", "px"), unitOf("speed", "mm"), unitOf("likelihood", "px")]).toEqual([
      "in px",
      "in mm/s",
      "from 0 to 1",
    ]);
  });
});
