import { signal } from "@preact/signals";
import { beforeEach, describe, expect, it } from "vitest";
import type { Driver } from "../../src/components/player/driver";
import { FrameIndex } from "../../src/components/player/frame_index";
import { faster, press } from "../../src/components/player/keyboard";
import { Transport, type Span } from "../../src/components/player/transport";

/** What a driver was told. */
class Told implements Driver {
  readonly said: string[] = [];
  seek(frame: number): void {
    this.said.push(`seek ${frame}`);
  }
  play(): void {
    this.said.push("play");
  }
  pause(): void {
    this.said.push("pause");
  }
  setSpeed(speed: number): void {
    this.said.push(`speed ${speed}`);
  }
  again(): void {
    this.said.push("again");
  }
  close(): void {
    this.said.push("close");
  }
  take(): string[] {
    return this.said.splice(0);
  }
}

let transport: Transport;
let driver: Told;
let painted: number[];

beforeEach(() => {
  transport = new Transport(FrameIndex.regular(100, { start: 0, step: 1, timescale: 30 }), {
    selection: signal<Span | null>(null),
    playing: signal(false),
    speed: signal(1),
  });
  driver = new Told();
  painted = [];
  transport.paint = (frame) => painted.push(frame);
  transport.use(driver);
  driver.take();
});

function key(name: string, more: KeyboardEventInit = {}): boolean {
  return press(new KeyboardEvent("keydown", { key: name, ...more }), {
    transport,
    zoom: (factor) => driver.said.push(`zoom ${factor}`),
    help: () => driver.said.push("help"),
  });
}

describe("moving through the frames", () => {
  it("counts steps from where one has asked to go, not from what has come by then", () => {
    transport.step(1);
    transport.step(1);
    transport.step(10);
    transport.step(-1);
    expect(driver.take().filter((each) => each.startsWith("seek"))).toEqual(["seek 1", "seek 2", "seek 12", "seek 11"]);
  });

  it("stays within the video", () => {
    transport.goTo(1e6);
    transport.goTo(-4);
    transport.goTo(NaN);
    expect(driver.take()).toEqual(["seek 99", "seek 0"]);
  });

  it("paints what is shown in the same moment, and tells the number", () => {
    transport.shown(7, null);
    expect([painted, transport.frame.value]).toEqual([[7], 7]);
  });

  it("goes on from the same frame where another driver takes over", () => {
    transport.goTo(42);
    const other = new Told();
    transport.use(other);
    expect(driver.take()).toEqual(["seek 42", "close"]);
    expect(other.take()).toEqual(["speed 1", "seek 42"]);
  });
});

describe("playing", () => {
  it("begins anew at the end", () => {
    transport.shown(99, null);
    transport.setPlaying(true);
    expect(driver.take()).toEqual(["seek 0", "play"]);
  });

  it("stops at the end", () => {
    transport.setPlaying(true);
    transport.shown(99, null);
    transport.ended();
    expect(transport.wishes.playing.value).toBe(false);
  });

  it("repeats the selection, and shows nothing behind it", () => {
    transport.select(20, 30);
    transport.loop.value = true;
    transport.setPlaying(true);
    expect(driver.take()).toEqual(["seek 20", "play"]);
    transport.shown(29, null);
    transport.shown(30, null);
    expect(painted).toEqual([29]);
    expect(driver.take()).toEqual(["seek 20"]);
  });

  it("stops where the video fails, and says why", () => {
    transport.setPlaying(true);
    transport.failed("The browser could not decode the video.");
    expect([transport.wishes.playing.value, transport.failure.value]).toEqual([
      false,
      "The browser could not decode the video.",
    ]);
  });

  it("a step stops it, from the frame that is seen", () => {
    transport.setPlaying(true);
    transport.shown(50, null);
    driver.take();
    transport.step(1);
    expect(driver.take()).toEqual(["pause", "seek 51"]);
  });
});

describe("the selection", () => {
  it("is from the first frame up to but without the last, in whichever direction", () => {
    transport.select(30, 20);
    expect(transport.wishes.selection.value).toEqual([20, 30]);
    transport.select(-5, 1000);
    expect(transport.wishes.selection.value).toEqual([0, 100]);
    transport.select(7, 7);
    expect(transport.wishes.selection.value).toBeNull();
  });

  it("begins and ends with the frame that is seen", () => {
    transport.shown(20, null);
    key("[");
    expect(transport.wishes.selection.value).toEqual([20, 100]);
    transport.shown(29, null);
    key("]");
    expect(transport.wishes.selection.value).toEqual([20, 30]);
    transport.shown(40, null);
    key("[");
    expect(transport.wishes.selection.value).toEqual([40, 100]);
    key("Escape");
    expect(transport.wishes.selection.value).toBeNull();
  });
});

describe("keys", () => {
  it.each([
    ["ArrowRight", {}, ["pause", "seek 1"]],
    ["ArrowRight", { shiftKey: true }, ["pause", "seek 10"]],
    ["End", {}, ["seek 99"]],
    [" ", {}, ["play"]],
    ["+", {}, ["zoom 0.5"]],
    ["?", { shiftKey: true }, ["help"]],
    [">", { shiftKey: true }, ["speed 2"]],
    ["<", { shiftKey: true }, ["speed 0.5"]],
  ])("%s %o", (name, more, said) => {
    expect(key(name, more)).toBe(true);
    expect(driver.take()).toEqual(said);
  });

  it("of others are left to them", () => {
    expect([key("s", { ctrlKey: true }), key("x"), key("ArrowLeft", { altKey: true })]).toEqual([false, false, false]);
    const input = document.createElement("input");
    document.body.append(input);
    let taken: boolean | null = null;
    input.addEventListener("keydown", (event) => {
      taken = press(event, { transport, zoom: () => undefined, help: () => undefined });
    });
    input.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft" }));
    expect([taken, driver.take()]).toEqual([false, []]);
  });

  it("change the speed by steps, and not beyond them", () => {
    expect([faster(1, 1), faster(1, -1), faster(4, 1), faster(1 / 16, -1), faster(3, -1)]).toEqual([
      2,
      0.5,
      4,
      1 / 16,
      2,
    ]);
  });
});
