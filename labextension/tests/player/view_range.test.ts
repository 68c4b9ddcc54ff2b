import { expect, it } from "vitest";
import { around, following, frameAt, moved, ticks, whole, xOf, zoomed } from "../../src/components/player/view_range";

it("zooming keeps the frame in its place, and ends at the ends", () => {
  const near = zoomed(whole(1000), 0.5, 300, 1000);
  expect(near).toEqual({ from: 150, to: 650 });
  expect(xOf(near, 300, 900)).toBeCloseTo(xOf(whole(1000), 300, 900));
  expect(zoomed(near, 100, 300, 1000)).toEqual(whole(1000));
  expect(zoomed(near, 1e-9, 300, 1000).to - zoomed(near, 1e-9, 300, 1000).from).toBe(20);
  expect(zoomed(whole(5), 0.1, 2, 5)).toEqual(whole(5));
});

it("moving stops at the ends", () => {
  expect(moved({ from: 100, to: 200 }, -500, 1000)).toEqual({ from: 0, to: 100 });
  expect(moved({ from: 100, to: 200 }, 5000, 1000)).toEqual({ from: 900, to: 1000 });
});

it("a frame that has gone out of sight turns the page", () => {
  const view = { from: 100, to: 200 };
  expect(following(view, 150, 1000)).toBe(view);
  expect(following(view, 200, 1000)).toEqual({ from: 190, to: 290 });
  expect(following(view, 99, 1000)).toEqual({ from: 9, to: 109 });
});

it("a selection is shown with some room around it", () => {
  expect(around(400, 500, 1000)).toEqual({ from: 395, to: 505 });
  expect(around(0, 1000, 1000)).toEqual(whole(1000));
});

it("places and frames are the same, there and back", () => {
  expect(frameAt({ from: 50, to: 150 }, xOf({ from: 50, to: 150 }, 87, 640), 640)).toBeCloseTo(87);
});

it("marks are at round numbers", () => {
  expect(ticks({ from: 0, to: 1000 }, 900, 90)).toEqual([0, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
  expect(ticks({ from: 95, to: 105 }, 900, 90)).toEqual([95, 96, 97, 98, 99, 100, 101, 102, 103, 104]);
});
