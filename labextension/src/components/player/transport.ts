/** Where a player stands and how it moves: what buttons, keys, the time line and Python all turn. */

import { signal, type Signal } from "@preact/signals";
import type { Driver, Listener, Picture } from "./driver";
import type { FrameIndex } from "./frame_index";

/** From the first frame on, up to but without the second. */
export type Span = [start: number, stop: number];

export const SPEEDS = [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4];

export interface Wishes {
  selection: Signal<Span | null>;
  playing: Signal<boolean>;
  speed: Signal<number>;
}

export class Transport implements Listener {
  /** The frame that is seen. */
  readonly frame = signal(0);
  readonly loop = signal(false);
  /** A frame that was asked for and cannot be stopped at; null: none. */
  readonly unreachable = signal<number | null>(null);
  /** Why the video does not play; "" while it does. */
  readonly failure = signal("");
  /** Called in the moment in which a frame is to be drawn. */
  paint: (frame: number, picture: Picture | null) => void = () => undefined;

  private driver: Driver | null = null;
  private direction = 0;
  private wanted = 0;

  constructor(
    readonly index: FrameIndex,
    readonly wishes: Wishes,
  ) {}

  /** Move by this from now on, from the frame on that is shown. */
  use(driver: Driver): void {
    this.driver?.close();
    this.driver = driver;
    this.failure.value = "";
    this.unreachable.value = null;
    driver.setSpeed(this.wishes.speed.peek());
    driver.seek(this.wanted);
    if (this.wishes.playing.peek()) driver.play();
  }

  /** 1 or -1 while it moves that way, 0 while it stands. */
  get moving(): number {
    return this.wishes.playing.peek() ? 1 : this.direction;
  }

  goTo(frame: number): void {
    if (!Number.isFinite(frame)) return;
    const target = this.index.clamp(frame);
    this.direction = Math.sign(target - this.wanted);
    this.wanted = target;
    this.unreachable.value = null;
    this.driver?.seek(target);
  }

  /** So many frames on, from where it was last asked to go: quick steps are not lost while a seek is under way. */
  step(frames: number): void {
    const from = this.wishes.playing.peek() ? this.frame.peek() : this.wanted;
    this.setPlaying(false);
    this.goTo(from + frames);
  }

  toggle(): void {
    this.setPlaying(!this.wishes.playing.peek());
  }

  /** Play or stand; at the end, playing begins anew. */
  setPlaying(playing: boolean): void {
    this.wishes.playing.value = playing;
    this.follow();
  }

  /** Do what the signals say: they may have been set from elsewhere. */
  follow(): void {
    const playing = this.wishes.playing.peek();
    if (playing) {
      const [start, stop] = this.span();
      const at = this.frame.peek();
      if (at >= stop - 1 || (this.loop.peek() && at < start)) this.goTo(start);
      this.driver?.play();
    } else {
      this.driver?.pause();
    }
  }

  setSpeed(speed: number): void {
    this.wishes.speed.value = speed;
    this.driver?.setSpeed(speed);
  }

  /** Draw the frame anew. */
  again(): void {
    this.driver?.again();
  }

  /** Set where the selection begins or ends: at the frame that is seen, which belongs to it. */
  mark(side: "start" | "stop"): void {
    const at = this.frame.peek();
    const [start, stop] = this.wishes.selection.peek() ?? [0, this.index.frames];
    if (side === "start") this.select(at, stop > at ? stop : this.index.frames);
    else this.select(start <= at ? start : 0, at + 1);
  }

  /** Select the frames from one up to another, in any order; none where that is empty. */
  select(from: number, to: number): void {
    const start = Math.max(0, Math.min(from, to));
    const stop = Math.min(this.index.frames, Math.max(from, to));
    this.wishes.selection.value = stop > start ? [Math.round(start), Math.round(stop)] : null;
  }

  close(): void {
    this.driver?.close();
    this.driver = null;
  }

  // -- what the driver says ----------------------------------------------------------------------------------------

  shown(frame: number, picture: Picture | null): void {
    if (this.wishes.playing.peek() && this.loop.peek() && frame >= this.span()[1]) {
      this.goTo(this.span()[0]);
      return;
    }
    this.paint(frame, picture);
    if (this.wishes.playing.peek()) this.wanted = frame;
    this.frame.value = frame;
  }

  ended(): void {
    if (this.loop.peek()) {
      this.goTo(this.span()[0]);
      this.driver?.play();
      return;
    }
    this.wishes.playing.value = false;
    this.wanted = this.frame.peek();
  }

  failed(reason: string): void {
    this.wishes.playing.value = false;
    this.failure.value = reason;
  }

  unreached(frame: number): void {
    this.unreachable.value = frame;
    this.wanted = this.frame.peek();
  }

  /** What is played: the selection where that is to be repeated, and otherwise everything. */
  private span(): Span {
    const all: Span = [0, this.index.frames];
    return this.loop.peek() ? (this.wishes.selection.peek() ?? all) : all;
  }
}
