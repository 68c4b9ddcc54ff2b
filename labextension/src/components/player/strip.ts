/** The likelihood of every point over time as a picture: a row for each point, the lowest likelihood of each column. */

import type { Overview } from "./overview";
import type { PoseStore } from "./pose_store";
import type { View } from "./view_range";

/** Of no likelihood: nothing is known of those frames. */
export const UNKNOWN = 255;
/** Frames of one column up to which the poses themselves are looked at, though there is an overview. */
const EXACT = 64;

export interface Likelihoods {
  overview: Overview | null;
  poses: PoseStore;
  /** How one point's last number becomes a likelihood of 0 to 254; in space it is an error. */
  rate: (value: number) => number;
}

export function rateLikelihood(value: number): number {
  return Number.isNaN(value) ? UNKNOWN : Math.round(Math.min(1, Math.max(0, value)) * 254);
}

/** An error of 0 pixels is as good as can be, one of ten thresholds as bad. */
export function rateError(value: number): number {
  return Number.isNaN(value) ? UNKNOWN : Math.round(254 / (1 + Math.max(0, value) / 5));
}

/**
 * Return the lowest likelihood in each column of each row, in 254ths: rows × width.
 *
 * @param rows The numbers of the points, in the order of the rows.
 */
export function columns(source: Likelihoods, rows: ArrayLike<number>, view: View, width: number): Uint8Array {
  const found = new Uint8Array(rows.length * width).fill(UNKNOWN);
  const each = (view.to - view.from) / width;
  for (let column = 0; column < width; column++) {
    const from = Math.floor(view.from + column * each);
    const to = Math.max(from + 1, Math.floor(view.from + (column + 1) * each));
    if ((source.overview && each > EXACT) || !exact(source, rows, found, column, width, from, to)) {
      rough(source, rows, found, column, width, from, to);
    }
  }
  return found;
}

/** Look at the poses themselves. @returns false where some are not here. */
function exact(
  { poses, rate }: Likelihoods,
  rows: ArrayLike<number>,
  found: Uint8Array,
  column: number,
  width: number,
  from: number,
  to: number,
): boolean {
  const { size } = poses;
  for (let frame = from; frame < to; frame++) {
    const here = poses.at(frame);
    if (!here) {
      if (poses.awaits(frame)) return false;
      continue;
    }
    for (let row = 0; row < rows.length; row++) {
      const value = rate(here.values[here.at + size * (rows[row] as number) + size - 1] as number);
      const place = row * width + column;
      if (value < (found[place] as number)) found[place] = value;
    }
  }
  return true;
}

function rough(
  { overview, poses }: Likelihoods,
  rows: ArrayLike<number>,
  found: Uint8Array,
  column: number,
  width: number,
  from: number,
  to: number,
): void {
  if (!overview) return;
  const { bins, span, min } = overview;
  const first = Math.floor((from - poses.first) / span);
  const last = Math.max(first + 1, Math.ceil((to - poses.first) / span));
  for (let row = 0; row < rows.length; row++) {
    const start = (rows[row] as number) * bins;
    let least = UNKNOWN;
    for (let bin = Math.max(0, first); bin < Math.min(bins, last); bin++) {
      least = Math.min(least, min[start + bin] as number);
    }
    found[row * width + column] = least;
  }
}

/** Paint columns by a ramp of 256 colours into pixels: RGBA, rows × width. */
export function paintColumns(values: Uint8Array, ramp: Uint8ClampedArray, pixels: Uint8ClampedArray): void {
  for (let at = 0; at < values.length; at++) {
    const from = 4 * (values[at] as number);
    for (let channel = 0; channel < 4; channel++) pixels[4 * at + channel] = ramp[from + channel] as number;
  }
}
