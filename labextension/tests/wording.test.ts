import { expect, it } from "vitest";
import { ago, bytes, clock, count, duration, plural } from "../src/components/parts/wording";

it.each([
  [0, "0 bytes"],
  [999, "999 bytes"],
  [1500, "1.5 kB"],
  [999_600, "1.0 MB"],
  [3_200_000_000, "3.2 GB"],
  [12_000_000_000, "12 GB"],
])("%d bytes are %s", (size, text) => {
  expect(bytes(size)).toBe(text);
});

it.each([
  [0.4, "0 s"],
  [59.4, "59 s"],
  [60, "1 min"],
  [3599, "1 h"],
  [3725, "1 h 2 min"],
])("%d s are %s", (seconds, text) => {
  expect(duration(seconds)).toBe(text);
});

it("times of a video have hundredths", () => {
  expect(clock(83.4)).toBe("1:23.40");
  expect(clock(59.999)).toBe("1:00.00");
  expect(clock(3601.257)).toBe("1:00:01.26");
});

it("moments are told from now, and by their date when they are old", () => {
  const now = Date.parse("2026-01-02T00:00:00Z");
  expect(ago("2026-01-01T23:57:00Z", now)).toBe("3 min ago");
  expect(ago("2025-12-01T00:00:00Z", now)).toContain("2025");
});

it("large numbers are grouped, and one is no plural", () => {
  expect(count(1_234_567)).toBe("1\u202f234\u202f567");
  expect([plural(1, "video"), plural(2, "video")]).toEqual(["1 video", "2 videos"]);
});
