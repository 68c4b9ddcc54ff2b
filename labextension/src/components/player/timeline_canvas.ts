/** The time line on two canvases: what seldom changes beneath, the play head and the selection above. */

import { clock, count } from "../parts/wording";
import type { FrameIndex } from "./frame_index";
import { columns, paintColumns, type Likelihoods } from "./strip";
import type { Span } from "./transport";
import { ticks, xOf, type View } from "./view_range";

/** CSS pixels. */
export const RULER = 20;
const OVERVIEW = 7;
const TICK_DISTANCE = 90;

export interface Inks {
  ink: string;
  faint: string;
  line: string;
  surface: string;
  accent: string;
}

export interface Ground {
  view: View;
  index: FrameIndex;
  likelihoods: Likelihoods;
  /** Numbers of the points, a row each. */
  rows: ArrayLike<number>;
  ramp: Uint8ClampedArray;
  /** From where to where there are poses. */
  analysed: Span;
  inks: Inks;
}

/** How high a strip of so many rows is, in CSS pixels. */
export function stripHeight(rows: number): number {
  return Math.round(Math.max(36, Math.min(108, rows * 8)));
}

export function timelineHeight(rows: number): number {
  return RULER + stripHeight(rows) + OVERVIEW;
}

export class TimelineCanvas {
  private readonly scratch = document.createElement("canvas");
  private hatch: { pattern: CanvasPattern | null; ink: string } | null = null;
  private density = 1;

  constructor(
    readonly ground: HTMLCanvasElement,
    readonly above: HTMLCanvasElement,
  ) {}

  /** CSS pixels. */
  get width(): number {
    return this.ground.width / this.density;
  }

  get height(): number {
    return this.ground.height / this.density;
  }

  fit(width: number, height: number, density: number): void {
    this.density = density;
    for (const canvas of [this.ground, this.above]) {
      canvas.width = Math.max(1, Math.round(width * density));
      canvas.height = Math.max(1, Math.round(height * density));
    }
  }

  drawGround(ground: Ground): void {
    const g = this.ground.getContext("2d");
    if (!g) return;
    g.setTransform(this.density, 0, 0, this.density, 0, 0);
    g.clearRect(0, 0, this.width, this.height);
    this.drawRuler(g, ground);
    this.drawStrip(g, ground);
    this.drawGaps(g, ground);
    this.drawOverview(g, ground);
  }

  drawAbove(view: View, frame: number, selection: Span | null, hover: number | null, inks: Inks): void {
    const g = this.above.getContext("2d");
    if (!g) return;
    const { width, height } = this;
    g.setTransform(this.density, 0, 0, this.density, 0, 0);
    g.clearRect(0, 0, width, height);
    if (selection) {
      const [left, right] = [xOf(view, selection[0], width), xOf(view, selection[1], width)];
      g.fillStyle = inks.accent;
      g.globalAlpha = 0.22;
      g.fillRect(left, RULER, right - left, height - RULER - OVERVIEW);
      g.globalAlpha = 1;
      g.fillRect(left - 1, RULER, 2, height - RULER - OVERVIEW);
      g.fillRect(right - 1, RULER, 2, height - RULER - OVERVIEW);
      g.fillRect(left, RULER - 3, right - left, 3);
    }
    if (hover !== null) {
      g.fillStyle = inks.faint;
      g.fillRect(Math.round(xOf(view, hover + 0.5, width)), RULER, 1, height - RULER - OVERVIEW);
    }
    const each = width / (view.to - view.from);
    const x = xOf(view, frame, width);
    // Where a frame is wide, all of it is marked.
    if (each > 3) {
      g.fillStyle = inks.ink;
      g.globalAlpha = 0.25;
      g.fillRect(x, RULER, each, height - RULER - OVERVIEW);
      g.globalAlpha = 1;
    }
    const middle = Math.max(1, Math.min(width - 1, x + each / 2));
    g.fillStyle = inks.surface;
    g.fillRect(middle - 2, RULER - 8, 4, height - RULER - OVERVIEW + 8);
    g.fillStyle = inks.ink;
    g.fillRect(middle - 1, RULER - 8, 2, height - RULER - OVERVIEW + 8);
    g.beginPath();
    g.moveTo(middle - 6, RULER - 9);
    g.lineTo(middle + 6, RULER - 9);
    g.lineTo(middle, RULER - 1);
    g.fill();
  }

  private drawRuler(g: CanvasRenderingContext2D, { view, index, inks }: Ground): void {
    const { width } = this;
    g.font = "10.5px system-ui, sans-serif";
    g.textBaseline = "alphabetic";
    const seconds = width > 520;
    for (const mark of ticks(view, width, seconds ? TICK_DISTANCE + 40 : TICK_DISTANCE)) {
      const x = xOf(view, mark, width);
      g.fillStyle = inks.line;
      g.fillRect(Math.round(x), RULER - 6, 1, 6);
      g.fillStyle = inks.faint;
      const text = seconds ? `${count(mark)} · ${clock(index.time(Math.min(mark, index.frames)))}` : count(mark);
      if (x + g.measureText(text).width + 4 < width) g.fillText(text, x + 3, RULER - 8);
    }
  }

  private drawStrip(g: CanvasRenderingContext2D, { view, likelihoods, rows, ramp, inks }: Ground): void {
    const high = this.height - RULER - OVERVIEW;
    g.fillStyle = inks.line;
    g.globalAlpha = 0.35;
    g.fillRect(0, RULER, this.width, high);
    g.globalAlpha = 1;
    const across = this.ground.width;
    if (rows.length === 0) return;
    const image = new ImageData(across, rows.length);
    paintColumns(columns(likelihoods, rows, view, across), ramp, image.data);
    const { scratch } = this;
    [scratch.width, scratch.height] = [across, rows.length];
    scratch.getContext("2d")?.putImageData(image, 0, 0);
    g.imageSmoothingEnabled = false;
    g.drawImage(scratch, 0, RULER, this.width, high);
    if (high / rows.length < 5) return;
    g.fillStyle = inks.surface;
    for (let row = 1; row < rows.length; row++) g.fillRect(0, RULER + (row * high) / rows.length - 0.5, this.width, 1);
  }

  /** Hatch what was not analysed (yet): it has no poses, which is not the same as bad ones. */
  private drawGaps(g: CanvasRenderingContext2D, { view, index, analysed, inks }: Ground): void {
    if (this.hatch?.ink !== inks.faint) this.hatch = { pattern: hatching(g, inks.faint), ink: inks.faint };
    const high = this.height - RULER - OVERVIEW;
    for (const [from, to] of [
      [0, analysed[0]],
      [analysed[1], index.frames],
    ] as const) {
      const [left, right] = [xOf(view, from, this.width), xOf(view, to, this.width)];
      if (to <= from || right <= 0 || left >= this.width) continue;
      g.fillStyle = inks.surface;
      g.fillRect(left, RULER, right - left, high);
      if (this.hatch.pattern) g.fillStyle = this.hatch.pattern;
      g.globalAlpha = 0.6;
      g.fillRect(left, RULER, right - left, high);
      g.globalAlpha = 1;
    }
  }

  /** Which part of everything is seen. */
  private drawOverview(g: CanvasRenderingContext2D, { view, index, inks }: Ground): void {
    const top = this.height - OVERVIEW + 3;
    g.fillStyle = inks.line;
    g.fillRect(0, top, this.width, 3);
    const everything = { from: 0, to: index.frames };
    const left = xOf(everything, view.from, this.width);
    g.fillStyle = inks.faint;
    g.fillRect(left, top, Math.max(6, xOf(everything, view.to, this.width) - left), 3);
  }

  /** Which part of the time line is at a height, in CSS pixels. */
  part(y: number): "ruler" | "strip" | "overview" {
    return y < RULER ? "ruler" : y > this.height - OVERVIEW ? "overview" : "strip";
  }
}

function hatching(g: CanvasRenderingContext2D, ink: string): CanvasPattern | null {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const t = tile.getContext("2d");
  if (!t) return null;
  t.strokeStyle = ink;
  t.lineWidth = 1.2;
  t.beginPath();
  for (const offset of [-8, 0, 8]) {
    t.moveTo(offset, 8);
    t.lineTo(offset + 8, 0);
  }
  t.stroke();
  return g.createPattern(tile, "repeat");
}
