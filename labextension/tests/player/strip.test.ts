import { describe, expect, it } from "vitest";
import { likelihoodRamp } from "../../src/components/player/palette";
import { PoseStore } from "../../src/components/player/pose_store";
import { columns, paintColumns, rateError, rateLikelihood, UNKNOWN } from "../../src/components/player/strip";
import { Poses } from "./poses";

async function opened(frames: number, first = 0): Promise<PoseStore> {
  const server = new Poses(frames);
  server.header = { first };
  const store = new PoseStore(server.fetch, 3);
  await store.open(0);
  return store;
}

const ROWS = Uint16Array.of(0, 1);

describe("the strip of likelihoods", () => {
  it("is made of the poses that are here, the lowest of each column", async () => {
    const poses = await opened(100);
    const found = columns({ overview: null, poses, rate: rateLikelihood }, ROWS, { from: 5, to: 45 }, 8);
    // Columns of 5 frames; the likelihoods of 0 to 9 are 0 to 0.9.
    const expected = [0.5, 0, 0.5, 0, 0.5, 0, 0.5, 0].map((each) => Math.round(each * 254));
    expect([...found]).toEqual([...expected, ...expected]);
  });

  it("knows nothing of frames without poses", async () => {
    const poses = await opened(10, 5);
    const found = columns({ overview: null, poses, rate: rateLikelihood }, [0], { from: 0, to: 20 }, 4);
    expect([found[0], found[1], found[2], found[3]]).toEqual([UNKNOWN, 0, 127, UNKNOWN]);
  });

  it("is made of the overview where columns are wide", async () => {
    const poses = await opened(4096);
    const overview = {
      span: 1024,
      bins: 4,
      points: 2,
      min: Uint8Array.of(10, 20, 30, 40, 50, 60, 70, 80),
      mean: new Uint8Array(8),
    };
    const found = columns({ overview, poses, rate: rateLikelihood }, [1, 0], { from: 0, to: 4096 }, 2);
    expect([...found]).toEqual([50, 70, 10, 30]);
  });

  it("is made of the poses where there is no overview, however wide columns are", async () => {
    const poses = await opened(4096);
    const found = columns({ overview: null, poses, rate: rateLikelihood }, [0], { from: 0, to: 4096 }, 2);
    expect([...found]).toEqual([0, 0]);
  });

  it("is quiet above the threshold, loud below, and empty where nothing is known", () => {
    const ramp = likelihoodRamp(0.6);
    const pixels = new Uint8ClampedArray(12);
    paintColumns(Uint8Array.of(254, 100, UNKNOWN), ramp, pixels);
    const [good, bad, none] = [pixels.subarray(0, 4), pixels.subarray(4, 8), pixels.subarray(8, 12)];
    expect((good[2] ?? 0) > (good[0] ?? 0)).toBe(true);
    expect((bad[0] ?? 0) > (bad[2] ?? 0)).toBe(true);
    expect(none[3]).toBe(0);
  });

  it("rates what it shows", () => {
    expect([rateLikelihood(0), rateLikelihood(1), rateLikelihood(7), rateLikelihood(NaN)]).toEqual([0, 254, 254, 255]);
    expect([rateError(0), rateError(NaN)]).toEqual([254, 255]);
    expect(rateError(2)).toBeGreaterThan(rateError(20));
  });
});
