/** Numbers of the points over time, made so short that they are quick to draw: at most two for each pixel across. */

import type { Cast } from "./look";
import type { FrameIndex } from "./frame_index";
import type { PoseStore } from "./pose_store";
import type { View } from "./view_range";

export type Quantity = "x" | "y" | "z" | "likelihood" | "error" | "speed";

/** Frames up to which traces are made: more would have all poses of a long video fetched. */
export const MOST_FRAMES = 131_072;

export interface TraceOptions {
  poses: PoseStore;
  cast: Cast;
  index: FrameIndex;
  quantity: Quantity;
  /** Whether a point is good enough to be shown: its likelihood, or its error. */
  good: (last: number) => boolean;
  /** Added to x and y. */
  left: number;
  top: number;
}

/** Frames, then for each point that is shown its numbers at those; null where there are none. */
export type Series = [number[], ...(number | null)[][]];

/** Return the traces of the points in sight. */
export function tracesOf(view: View, width: number, options: TraceOptions): Series {
  const from = Math.max(0, Math.floor(view.from));
  const to = Math.min(options.index.frames, Math.ceil(view.to));
  const read = readerOf(options);
  const each = Math.ceil((to - from) / Math.max(1, width));
  if (each <= 2) {
    const frames = Array.from({ length: Math.max(0, to - from) }, (_, number) => from + number);
    return [frames, ...[...options.cast.shown].map((point) => frames.map((frame) => read(frame, point)))];
  }
  return decimated(from, to, each, [...options.cast.shown], read);
}

/** Of every `each` frames the least and the largest, in the order in which they come. */
function decimated(
  from: number,
  to: number,
  each: number,
  points: number[],
  read: (frame: number, point: number) => number | null,
): Series {
  const frames: number[] = [];
  for (let start = from; start < to; start += each) frames.push(start, Math.min(to - 1, start + each / 2));
  const series = points.map((point) => {
    const values: (number | null)[] = [];
    for (let start = from; start < to; start += each) {
      let [least, most, leastAt, mostAt] = [Infinity, -Infinity, 0, 0];
      for (let frame = start; frame < Math.min(to, start + each); frame++) {
        const value = read(frame, point);
        if (value === null) continue;
        if (value < least) [least, leastAt] = [value, frame];
        if (value > most) [most, mostAt] = [value, frame];
      }
      if (least > most) values.push(null, null);
      else if (leastAt <= mostAt) values.push(least, most);
      else values.push(most, least);
    }
    return values;
  });
  return [frames, ...series];
}

/** Return what reads one number of one point in one frame. */
function readerOf(options: TraceOptions): (frame: number, point: number) => number | null {
  const { poses, quantity, good, index } = options;
  const { size } = poses;
  const last = size - 1;
  const own = (place: number, offset: number) => (frame: number, point: number) => {
    const here = poses.at(frame);
    if (!here) return null;
    const at = here.at + size * point;
    const value = here.values[at + place] as number;
    if (Number.isNaN(value) || (place !== last && !good(here.values[at + last] as number))) return null;
    return value + offset;
  };
  switch (quantity) {
    case "x":
      return own(0, options.left);
    case "y":
      return own(1, options.top);
    case "z":
      return own(2, 0);
    case "likelihood":
    case "error":
      return own(last, 0);
    case "speed": {
      const axes = Array.from({ length: last }, (_, axis) => own(axis, 0));
      return (frame, point) => {
        let sum = 0;
        for (const axis of axes) {
          const [before, now] = [axis(frame - 1, point), axis(frame, point)];
          if (before === null || now === null) return null;
          sum += (now - before) ** 2;
        }
        const seconds = index.time(frame) - index.time(frame - 1);
        return seconds > 0 ? Math.sqrt(sum) / seconds : null;
      };
    }
  }
}

/** In which unit a quantity is, where lengths are in `unit`. */
export function unitOf(quantity: Quantity, unit: string): string {
  if (quantity === "likelihood") return "from 0 to 1";
  if (quantity === "error") return "in pixels of the cameras";
  return quantity === "speed" ? `in ${unit}/s` : `in ${unit}`;
}
