import { describe, expect, it } from "vitest";
import { PoseStore, RANGE } from "../../src/components/player/pose_store";
import { number, Poses, settled } from "./poses";

function x(store: PoseStore, frame: number): number | null {
  const found = store.at(frame);
  return found ? (found.values[found.at] as number) : null;
}

describe("the poses of a player", () => {
  it("are fetched by ranges, once, and the next range before it is needed", async () => {
    const server = new Poses(3 * RANGE);
    const store = new PoseStore(server.fetch, 3);
    await store.open(10);
    store.want(10, 1);
    store.want(0.7 * RANGE, 1);
    await settled();
    expect(server.asked).toEqual([[0, RANGE]]);
    expect(x(store, 10)).toBe(number(10, 0, 0));
    store.want(Math.floor(0.8 * RANGE), 1);
    store.want(Math.floor(0.9 * RANGE), 1);
    await settled();
    expect(server.asked.slice(1)).toEqual([[RANGE, 2 * RANGE]]);
    expect(x(store, RANGE)).toBe(number(RANGE, 0, 0));
  });

  it("are fetched ahead backwards where it goes backwards, and not beyond the ends", async () => {
    const server = new Poses(2 * RANGE);
    const store = new PoseStore(server.fetch, 3);
    await store.open(RANGE + 5);
    store.want(RANGE + 5, -1);
    await settled();
    store.want(3, -1);
    store.want(2 * RANGE - 1, 1);
    await settled();
    expect(server.asked).toEqual([
      [RANGE, 2 * RANGE],
      [0, RANGE],
    ]);
  });

  it("belong to the frames of the video that the header says", async () => {
    const server = new Poses(20);
    server.header = { first: 7 };
    const store = new PoseStore(server.fetch, 3);
    await store.open(0);
    expect([x(store, 6), x(store, 7), x(store, 26), x(store, 27)]).toEqual([null, 0, number(19, 0, 0), null]);
    expect([store.first, store.stop]).toEqual([7, 27]);
  });

  it("that are used longest ago go first", async () => {
    const server = new Poses(5 * RANGE);
    const bytes = RANGE * 2 * 3 * 4;
    const store = new PoseStore(server.fetch, 3, 2.5 * bytes);
    await store.open(0);
    store.want(RANGE);
    await settled();
    store.want(0);
    store.want(2 * RANGE);
    await settled();
    expect([x(store, 0), x(store, RANGE), x(store, 2 * RANGE)]).toEqual([0, null, number(2 * RANGE, 0, 0)]);
  });

  it("of the newest wish come first", async () => {
    let release = (): void => undefined;
    const server = new Poses(40 * RANGE);
    const store = new PoseStore(server.fetch, 3);
    await store.open(0);
    server.hold = new Promise((resolve) => {
      release = resolve;
    });
    for (const number of [10, 11, 12, 20, 21, 22]) store.want(number * RANGE);
    expect(server.asked.slice(1).map(([start]) => start / RANGE)).toEqual([10, 11, 12]);
    server.hold = null;
    release();
    await settled();
    expect(server.asked.slice(4).map(([start]) => start / RANGE)).toEqual([22, 21, 20]);
  });

  it("grow: only what was not whole is fetched again", async () => {
    const server = new Poses(100);
    const store = new PoseStore(server.fetch, 3);
    await store.open(0);
    expect([x(store, 99), x(store, 100), store.stop]).toEqual([number(99, 0, 0), null, 100]);
    server.frames = RANGE + 50;
    await store.grow();
    expect([x(store, 100), store.stop]).toEqual([number(100, 0, 0), RANGE + 50]);
    server.frames = RANGE + 60;
    await store.grow();
    expect(server.asked.at(-1)).toEqual([RANGE + 50, RANGE + 50]);
    expect(store.stop).toBe(RANGE + 60);
    store.want(RANGE + 55);
    await settled();
    expect(x(store, RANGE + 55)).toBe(number(RANGE + 55, 0, 0));
  });

  it("are shown until those come that have taken their place", async () => {
    const server = new Poses(50);
    const store = new PoseStore(server.fetch, 3);
    await store.open(0);
    const asked = server.asked.length;
    await store.renew();
    expect(x(store, 3)).toBe(number(3, 0, 0));
    store.want(3);
    await settled();
    expect(server.asked.length).toBeGreaterThan(asked);
  });

  it("that do not come are a problem, until they do", async () => {
    const server = new Poses(3 * RANGE);
    let broken = false;
    const store = new PoseStore((start, stop) => {
      if (broken) return Promise.reject(new Error("The server does not answer."));
      return server.fetch(start, stop);
    }, 3);
    await store.open(0);
    broken = true;
    store.want(RANGE);
    await settled();
    expect(store.problem.value).toEqual(new Error("The server does not answer."));
    expect(store.awaits(RANGE)).toBe(true);
    broken = false;
    store.want(RANGE);
    await settled();
    expect([store.problem.value, x(store, RANGE)]).toEqual([null, number(RANGE, 0, 0)]);
  });
});
