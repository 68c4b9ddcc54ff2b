import { expect, it } from "vitest";
import { decode } from "../../src/components/player/compact";
import { decodeOverview } from "../../src/components/player/overview";
import { compact, likelihood, number } from "./poses";

it("poses are read where they lie", () => {
  const content = compact({ start: 3, count: 2, frames: 9, first: 4 });
  const { header, values } = decode(content);
  expect([header.frames, header.start, header.count, header.first]).toEqual([9, 3, 2, 4]);
  expect(values.buffer).toBe(content);
  expect([...values.subarray(6, 9)]).toEqual([number(4, 0, 0), number(4, 0, 1), Math.fround(likelihood(4))]);
});

it("what is no poses is refused in words", () => {
  expect(() => decode(new TextEncoder().encode("<html>an error</html>").buffer)).toThrow(/holds no poses/);
  expect(() => decode(new ArrayBuffer(0))).toThrow(/holds no poses/);
});

it("an overview is the least and the mean of each bin of each point", () => {
  const json = new TextEncoder().encode(
    JSON.stringify({
      span: 4,
      bins: 2,
      points: [
        ["", "a"],
        ["", "b"],
      ],
    }).padEnd(64),
  );
  const content = new Uint8Array([
    ...new TextEncoder().encode("DLCO"),
    1,
    0,
    0,
    0,
    64,
    0,
    0,
    0,
    ...json,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
  ]);
  const { span, bins, points, min, mean } = decodeOverview(content.buffer);
  expect([span, bins, points, [...min], [...mean]]).toEqual([4, 2, 2, [1, 2, 3, 4], [5, 6, 7, 8]]);
});
