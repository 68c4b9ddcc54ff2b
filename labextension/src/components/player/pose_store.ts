/** The poses that a player needs now: fetched by ranges of frames, ahead of where it plays, and dropped when they are old. */

import { signal } from "@preact/signals";
import type { Piece, PosesHeader } from "./compact";

/** Frames in one range. */
export const RANGE = 4096;
/** Bytes of poses that are kept at most. */
const MOST_BYTES = 64e6;
const AT_ONCE = 3;
/** Part of a range behind which the next one is fetched. */
const AHEAD = 0.75;

interface Range {
  values: Float32Array;
  /** Rows that it has. */
  count: number;
  /** Of the epoch in which it was asked for: what has ended since may say something else. */
  epoch: number;
}

export type Fetch = (start: number, stop: number) => Promise<Piece>;

export class PoseStore {
  /** What is known of the poses; null until the first answer. */
  readonly about = signal<PosesHeader | null>(null);
  /** Counts up whenever poses have come. */
  readonly version = signal(0);
  /** Why none come; null while all is well. */
  readonly problem = signal<unknown>(null);

  private readonly ranges = new Map<number, Range>();
  private readonly wanted: number[] = [];
  private readonly loading = new Set<number>();
  private epoch = 0;
  private closed = false;

  /** @param size Numbers of each point: x, y, likelihood, or x, y, z, error. */
  constructor(
    private readonly fetch: Fetch,
    readonly size: number,
    private readonly mostBytes = MOST_BYTES,
  ) {}

  get points(): number {
    return this.about.peek()?.points.length ?? 0;
  }

  /** Which frame of the video the first row is. */
  get first(): number {
    return this.about.peek()?.first ?? 0;
  }

  /** The frame of the video before which poses end, so far. */
  get stop(): number {
    const about = this.about.peek();
    return about ? about.frames + (about.first ?? 0) : 0;
  }

  /** Ask for the poses around a frame, as the first thing. @throws Refusal, Unreachable */
  async open(frame: number): Promise<PosesHeader> {
    const number = Math.max(0, Math.floor(frame / RANGE));
    const piece = await this.fetch(number * RANGE, (number + 1) * RANGE);
    this.take(number, piece, this.epoch);
    return piece.header;
  }

  /** Where a frame's numbers are: in `values` from the place on that `at` says; null where they are not here (yet). */
  at(frame: number): { values: Float32Array; at: number } | null {
    const row = frame - this.first;
    if (row < 0) return null;
    const range = this.ranges.get(Math.floor(row / RANGE));
    const within = row % RANGE;
    if (!range || within >= range.count) return null;
    return { values: range.values, at: within * this.points * this.size };
  }

  /** Whether a frame's poses are on their way, so that nothing is known of it yet. */
  awaits(frame: number): boolean {
    return frame >= this.first && frame < this.stop && this.at(frame) === null;
  }

  /**
   * See to it that the poses of a frame are here or will be.
   *
   * @param direction 1 or -1: which way it goes on from there; 0: nowhere.
   */
  want(frame: number, direction = 0): void {
    const row = frame - this.first;
    const number = Math.max(0, Math.floor(row / RANGE));
    this.need(number);
    const part = (row % RANGE) / RANGE;
    if (direction > 0 && part > AHEAD) this.need(number + 1);
    if (direction < 0 && part < 1 - AHEAD) this.need(number - 1);
  }

  /** See to it that the poses of all frames from one up to another are here or will be. */
  wantAll(from: number, to: number): void {
    const first = Math.floor(Math.max(0, from - this.first) / RANGE);
    const last = Math.floor(Math.max(0, to - 1 - this.first) / RANGE);
    for (let number = last; number >= first; number--) this.need(number);
  }

  /** There are more poses by now: look how many, and fetch anew what was not whole. */
  async grow(): Promise<void> {
    const known = this.about.peek();
    const end = known?.frames ?? 0;
    const number = Math.floor(end / RANGE);
    const held = this.ranges.has(number) || this.ranges.size === 0;
    try {
      // Where nobody looks at the end, its number is enough.
      const piece = await this.fetch(held ? number * RANGE : end, held ? (number + 1) * RANGE : end);
      if (held) this.take(number, piece, this.epoch);
      else this.learn(piece.header);
    } catch (error) {
      this.problem.value = error;
    }
  }

  /** All poses may be others than before: fetch them anew as they are wanted, and show the old ones until they come. */
  async renew(): Promise<void> {
    this.epoch += 1;
    await this.grow();
    this.version.value += 1;
  }

  close(): void {
    this.closed = true;
    this.wanted.length = 0;
    this.ranges.clear();
  }

  private need(number: number): void {
    const about = this.about.peek();
    if (this.closed || number < 0 || (about && number * RANGE >= about.frames)) return;
    const held = this.ranges.get(number);
    if (held) {
      // Used again: it is the last to go.
      this.ranges.delete(number);
      this.ranges.set(number, held);
      const whole = held.count === RANGE || (about && number * RANGE + held.count >= about.frames);
      if (whole && held.epoch === this.epoch) return;
    }
    if (this.loading.has(number)) return;
    const at = this.wanted.indexOf(number);
    if (at >= 0) this.wanted.splice(at, 1);
    this.wanted.push(number);
    this.pump();
  }

  /** The newest wish first: who scrubs has left the older ones behind. */
  private pump(): void {
    while (this.loading.size < AT_ONCE) {
      const number = this.wanted.pop();
      if (number === undefined) return;
      void this.load(number);
    }
  }

  private async load(number: number): Promise<void> {
    const { epoch } = this;
    this.loading.add(number);
    try {
      this.take(number, await this.fetch(number * RANGE, (number + 1) * RANGE), epoch);
      this.problem.value = null;
    } catch (error) {
      this.problem.value = error;
    } finally {
      this.loading.delete(number);
      this.pump();
    }
  }

  private take(number: number, { header, values }: Piece, epoch: number): void {
    if (this.closed) return;
    this.learn(header);
    this.ranges.delete(number);
    this.ranges.set(number, { values, count: header.count, epoch });
    let bytes = 0;
    for (const each of this.ranges.values()) bytes += each.values.byteLength;
    for (const [oldest, range] of this.ranges) {
      if (bytes <= this.mostBytes || oldest === number) break;
      bytes -= range.values.byteLength;
      this.ranges.delete(oldest);
    }
    this.version.value += 1;
  }

  private learn(header: PosesHeader): void {
    const known = this.about.peek();
    if (known?.frames !== header.frames || known.state !== header.state) this.about.value = header;
  }
}
