import { signal } from "@preact/signals";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { seldom } from "../../src/widget/player_traits";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function of(first: number): {
  told: number[];
  trait: ReturnType<typeof seldom<number>>;
  python: (value: number) => void;
} {
  const inner = signal(first);
  const told: number[] = [];
  inner.subscribe((value) => told.push(value));
  const trait = seldom({ signal: inner, stop: () => undefined }, 100);
  told.length = 0;
  return {
    told,
    trait,
    python: (value) => {
      inner.value = value;
    },
  };
}

it("Python hears of some of the frames that play, and of the last one", () => {
  const { told, trait } = of(0);
  for (let frame = 1; frame <= 30; frame++) {
    trait.signal.value = frame;
    vi.advanceTimersByTime(16);
  }
  vi.advanceTimersByTime(1000);
  expect(told.length).toBeLessThan(8);
  expect(told.at(-1)).toBe(30);
});

it("what Python sets is heard at once, and not told back", () => {
  const { told, trait, python } = of(0);
  python(77);
  expect(trait.signal.value).toBe(77);
  vi.advanceTimersByTime(1000);
  expect(told).toEqual([77]);
});

it("the last value is told also when the panel goes", () => {
  const { told, trait } = of(0);
  trait.signal.value = 5;
  trait.stop();
  expect(told.at(-1)).toBe(5);
});
