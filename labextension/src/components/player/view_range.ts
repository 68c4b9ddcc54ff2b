/** Which frames a time line shows: zooming and moving, without a canvas. */

/** Frames, as fractions of them may be: from where to where. */
export interface View {
  from: number;
  to: number;
}

/** Frames that are seen at least. */
const LEAST = 20;

export function whole(frames: number): View {
  return { from: 0, to: Math.max(1, frames) };
}

/** Zoom by a factor around a frame, which keeps its place; 0.5 shows half as many frames. */
export function zoomed(view: View, factor: number, around: number, frames: number): View {
  const length = view.to - view.from;
  const wanted = Math.min(Math.max(length * factor, Math.min(LEAST, frames)), Math.max(1, frames));
  const part = (around - view.from) / length;
  return within(around - part * wanted, wanted, frames);
}

/** Move on by so many frames. */
export function moved(view: View, by: number, frames: number): View {
  return within(view.from + by, view.to - view.from, frames);
}

/** Show these frames with a little more on both sides. */
export function around(start: number, stop: number, frames: number): View {
  const margin = Math.max(1, (stop - start) * 0.05);
  const length = Math.min(Math.max(stop - start + 2 * margin, Math.min(LEAST, frames)), Math.max(1, frames));
  return within((start + stop) / 2 - length / 2, length, frames);
}

/** Keep a frame in sight: where it has gone out, turn the page to it. */
export function following(view: View, frame: number, frames: number): View {
  if (frame >= view.from && frame < view.to) return view;
  const length = view.to - view.from;
  return within(frame - length * (frame < view.from ? 0.9 : 0.1), length, frames);
}

export function frameAt(view: View, x: number, width: number): number {
  return view.from + (x / Math.max(1, width)) * (view.to - view.from);
}

export function xOf(view: View, frame: number, width: number): number {
  return ((frame - view.from) / (view.to - view.from)) * width;
}

function within(from: number, length: number, frames: number): View {
  const start = Math.max(0, Math.min(from, frames - length));
  return { from: start, to: start + length };
}

/** Frames at which a ruler has marks, at round numbers and at least so many pixels apart. */
export function ticks(view: View, width: number, distance: number): number[] {
  const least = ((view.to - view.from) / Math.max(1, width)) * distance;
  const power = 10 ** Math.floor(Math.log10(Math.max(1, least)));
  const step = Math.max(1, [1, 2, 5, 10].map((each) => each * power).find((each) => each >= least) ?? 10 * power);
  const marks: number[] = [];
  for (let mark = Math.ceil(view.from / step) * step; mark < view.to; mark += step) marks.push(mark);
  return marks;
}
