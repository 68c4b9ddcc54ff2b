/** When each frame of a video is shown, and which frame is shown at a time: from the server's table, never from a rate. */

export interface Regular {
  /** Of frame 0, in units of the timescale. */
  start: number;
  /** From frame to frame, in units of the timescale. */
  step: number;
  /** Units a second. */
  timescale: number;
}

export abstract class FrameIndex {
  protected constructor(readonly frames: number) {}

  /** Times of frames at even distances, exact in the video's own units. */
  static regular(frames: number, timing: Regular): FrameIndex {
    return new Even(frames, timing);
  }

  /** @param times Seconds at which each frame begins, and at which the last one ends: one more than there are frames. */
  static table(times: Float64Array): FrameIndex {
    return new Table(times);
  }

  /** Seconds at which a frame begins; of the number behind the last frame, its end. */
  abstract time(frame: number): number;

  /** The frame whose beginning is nearest to a time: what a video says it shows is rounded to microseconds. */
  abstract nearest(seconds: number): number;

  /** The frame that is to be seen at a time. */
  containing(seconds: number): number {
    const frame = this.nearest(seconds);
    return this.clamp(this.time(frame) > seconds ? frame - 1 : frame);
  }

  /** Where to seek to for a frame: at its beginning a browser may still show the one before. */
  middle(frame: number): number {
    return (this.time(frame) + this.time(frame + 1)) / 2;
  }

  /** The nearest frame that there is. */
  clamp(frame: number): number {
    return Math.max(0, Math.min(this.frames - 1, Math.round(frame)));
  }
}

class Even extends FrameIndex {
  constructor(
    frames: number,
    private readonly timing: Regular,
  ) {
    super(frames);
  }

  time(frame: number): number {
    return (this.timing.start + frame * this.timing.step) / this.timing.timescale;
  }

  nearest(seconds: number): number {
    const { start, step, timescale } = this.timing;
    return this.clamp((seconds * timescale - start) / step);
  }
}

class Table extends FrameIndex {
  constructor(private readonly times: Float64Array) {
    super(Math.max(0, times.length - 1));
  }

  time(frame: number): number {
    return this.times[Math.max(0, Math.min(this.times.length - 1, frame))] ?? 0;
  }

  nearest(seconds: number): number {
    let [low, high] = [0, this.frames - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.time(middle) < seconds) low = middle + 1;
      else high = middle;
    }
    if (low > 0 && seconds - this.time(low - 1) <= this.time(low) - seconds) low -= 1;
    return this.clamp(low);
  }
}
