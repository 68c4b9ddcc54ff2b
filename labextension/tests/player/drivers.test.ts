import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ClockDriver } from "../../src/components/player/clock_driver";
import type { Listener, Picture } from "../../src/components/player/driver";
import { FrameIndex } from "../../src/components/player/frame_index";
import { VideoDriver } from "../../src/components/player/video_driver";

const INDEX = FrameIndex.regular(100, { start: 0, step: 1, timescale: 10 });

class Heard implements Listener {
  readonly frames: [number, boolean][] = [];
  readonly said: string[] = [];
  shown(frame: number, picture: Picture | null): void {
    this.frames.push([frame, picture !== null]);
  }
  ended(): void {
    this.said.push("ended");
  }
  failed(reason: string): void {
    this.said.push(reason);
  }
  unreached(frame: number): void {
    this.said.push(`unreached ${frame}`);
  }
}

/** A picture that says which frame it is of; how many of them are open. */
class FakeFrame {
  static open = 0;
  readonly timestamp: number;
  constructor(video: FakeVideo) {
    if (video.readyState < 2) throw new DOMException("no data", "InvalidStateError");
    this.timestamp = Math.round(INDEX.time(video.now) * 1e6);
    FakeFrame.open += 1;
  }
  close(): void {
    FakeFrame.open -= 1;
  }
}

/** A video element whose seeks end when the test says so. */
class FakeVideo extends EventTarget {
  readyState = 2;
  playbackRate = 1;
  error: { code: number } | null = null;
  now = 0;
  readonly seeks: number[] = [];
  private callbacks: ((now: number, metadata: { mediaTime: number }) => void)[] = [];
  private time = 0;

  get currentTime(): number {
    return this.time;
  }
  set currentTime(seconds: number) {
    this.time = seconds;
    this.seeks.push(INDEX.containing(seconds));
  }
  requestVideoFrameCallback(callback: (now: number, metadata: { mediaTime: number }) => void): number {
    return this.callbacks.push(callback);
  }
  cancelVideoFrameCallback(): void {
    this.callbacks = [];
  }
  play(): Promise<void> {
    return Promise.resolve();
  }
  pause(): void {
    return undefined;
  }
  load(): void {
    return undefined;
  }
  removeAttribute(): void {
    return undefined;
  }
  /** A frame is shown, and the callback says so; it may say another one than the element shows by then. */
  present(frame: number, said = frame): void {
    this.now = frame;
    for (const callback of this.callbacks.splice(0)) callback(0, { mediaTime: INDEX.time(said) });
  }
  /** The seek under way has ended. */
  arrive(frame = this.seeks.at(-1) ?? 0, callback = true): void {
    this.now = frame;
    this.dispatchEvent(new Event("seeked"));
    if (callback) this.present(frame);
  }
}

let video: FakeVideo;
let heard: Heard;

function driver(): VideoDriver {
  return new VideoDriver(video as unknown as HTMLVideoElement, INDEX, heard);
}

beforeEach(() => {
  vi.useFakeTimers();
  FakeFrame.open = 0;
  video = new FakeVideo();
  heard = new Heard();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("a video", () => {
  beforeEach(() => {
    vi.stubGlobal("VideoFrame", FakeFrame);
  });

  it("is sought one frame at a time, and the newest wish wins", () => {
    const each = driver();
    for (const frame of [10, 20, 30, 40]) each.seek(frame);
    expect(video.seeks).toEqual([10]);
    video.arrive();
    expect(video.seeks).toEqual([10, 40]);
    video.arrive();
    expect(heard.frames.at(-1)).toEqual([40, true]);
    expect(video.currentTime).toBeCloseTo(4.05);
  });

  it("is drawn with the number of the picture, not with the one that the callback says", () => {
    const each = driver();
    each.play();
    video.present(8, 7);
    expect(heard.frames).toEqual([[8, true]]);
  });

  it("leaves no picture open", () => {
    const each = driver();
    for (let frame = 0; frame < 50; frame++) video.present(frame);
    each.again();
    expect([heard.frames.length, FakeFrame.open]).toEqual([51, 0]);
  });

  it("that shows the frame already needs no callback", () => {
    const each = driver();
    each.seek(12);
    video.arrive(12, false);
    expect(heard.frames).toEqual([[12, true]]);
  });

  it("waits for its beginning before it is sought", () => {
    video.readyState = 0;
    const each = driver();
    each.seek(5);
    expect(video.seeks).toEqual([]);
    video.readyState = 2;
    video.dispatchEvent(new Event("loadeddata"));
    expect(video.seeks).toEqual([5]);
  });

  it("stops at what was seen last", () => {
    const each = driver();
    each.play();
    video.present(30);
    each.pause();
    expect(video.seeks).toEqual([30]);
  });

  it("that cannot be stopped at a frame says so", () => {
    const each = driver();
    each.seek(48);
    video.arrive(50);
    vi.advanceTimersByTime(1000);
    expect(heard.said).toEqual(["unreached 48"]);
    expect(heard.frames.at(-1)).toEqual([50, true]);
  });

  it("whose seek was lost is sought again", () => {
    const each = driver();
    each.seek(10);
    each.seek(20);
    vi.advanceTimersByTime(5000);
    expect(video.seeks).toEqual([10, 20]);
  });

  it("whose pictures tell other times than its callbacks while it stands is not believed", () => {
    const each = driver();
    for (let turn = 0; turn < 3; turn++) video.present(9, 4);
    expect(each.locked).toBe(false);
    video.present(9, 4);
    expect(heard.frames.at(-1)).toEqual([4, false]);
  });

  it.each([
    [4, "This browser does not play a video of this kind."],
    [3, "The browser could not decode the video."],
  ])("that fails with %d says why", (code, sentence) => {
    driver();
    video.error = { code };
    video.dispatchEvent(new Event("error"));
    expect(heard.said).toEqual([sentence]);
  });

  it("says nothing more when it is closed", () => {
    const each = driver();
    each.seek(3);
    each.close();
    video.arrive();
    video.dispatchEvent(new Event("error"));
    vi.advanceTimersByTime(10_000);
    expect([heard.frames, heard.said]).toEqual([[], []]);
  });
});

describe("a browser without VideoFrame", () => {
  it("is told by its callbacks, and shows its own picture", () => {
    const each = driver();
    expect(each.locked).toBe(false);
    each.seek(10);
    video.arrive();
    expect(heard.frames).toEqual([[10, false]]);
  });

  it("has shown the frame already where no callback comes", () => {
    const each = driver();
    each.seek(10);
    video.arrive(10, false);
    vi.advanceTimersByTime(1000);
    expect([heard.frames, heard.said]).toEqual([[[10, false]], []]);
  });
});

describe("a clock", () => {
  it("shows each frame once, at its time and speed, and ends", () => {
    let tick: FrameRequestCallback = () => undefined;
    vi.stubGlobal("requestAnimationFrame", (callback: FrameRequestCallback) => {
      tick = callback;
      return 1;
    });
    vi.stubGlobal("cancelAnimationFrame", () => {
      tick = () => undefined;
    });
    const each = new ClockDriver(INDEX, heard);
    each.seek(95);
    each.setSpeed(0.5);
    each.play();
    for (let now = 0; now <= 1200; now += 50) tick(now);
    expect(heard.frames.map(([frame]) => frame)).toEqual([95, 96, 97, 98, 99]);
    expect(heard.said).toEqual(["ended"]);
  });
});
