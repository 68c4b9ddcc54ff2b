/** Frames by a clock, where there are poses and no pictures: in space, or of a video that browsers do not play. */

import type { Driver, Listener } from "./driver";
import type { FrameIndex } from "./frame_index";

export class ClockDriver implements Driver {
  private frame = 0;
  private speed = 1;
  /** Seconds in the video. */
  private time = 0;
  private last: number | null = null;
  private request = 0;

  constructor(
    private readonly index: FrameIndex,
    private readonly listener: Listener,
  ) {
    this.time = index.time(0);
  }

  seek(frame: number): void {
    this.frame = this.index.clamp(frame);
    this.time = this.index.time(this.frame);
    this.listener.shown(this.frame, null);
  }

  play(): void {
    if (this.request) return;
    this.last = null;
    this.request = requestAnimationFrame(this.tick);
  }

  pause(): void {
    cancelAnimationFrame(this.request);
    this.request = 0;
  }

  setSpeed(speed: number): void {
    this.speed = speed;
  }

  again(): void {
    this.listener.shown(this.frame, null);
  }

  close(): void {
    this.pause();
  }

  private readonly tick = (now: number): void => {
    this.request = requestAnimationFrame(this.tick);
    this.time += this.last === null ? 0 : ((now - this.last) / 1000) * this.speed;
    this.last = now;
    const frame = this.index.containing(this.time);
    if (frame !== this.frame) {
      this.frame = frame;
      this.listener.shown(frame, null);
    }
    if (this.time >= this.index.time(this.index.frames)) {
      this.pause();
      this.listener.ended();
    }
  };
}
