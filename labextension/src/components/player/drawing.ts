/** Poses on a canvas: dots, lines, trails and names of one frame. The hot path: it makes no garbage to speak of. */

import type { Cast, Look } from "./look";

/** Trails fade in so many steps, each of which is one path for each colour. */
export const BUCKETS = 5;

/** Where a frame's numbers are, or null. */
export type At = (frame: number) => { values: Float32Array; at: number } | null;

export interface Scene {
  cast: Cast;
  at: At;
  look: Look;
  /** Only points above it are drawn. */
  threshold: number;
  /** Pixels of the canvas for each pixel of the video. */
  scale: number;
  /** Where the poses' origin is in the video's picture, in its pixels. */
  left: number;
  top: number;
  /** Radius of a dot in pixels of the canvas. */
  radius: number;
}

/** Draw the poses of a frame. @returns Whether there were any. */
export function drawPoses(g: CanvasRenderingContext2D, frame: number, scene: Scene): boolean {
  const { look } = scene;
  const here = scene.at(frame);
  if (look.trail > 0) drawTrails(g, frame, scene);
  if (!here) return false;
  if (look.skeleton) drawBones(g, here.values, here.at, scene);
  drawDots(g, here.values, here.at, scene);
  if (look.labels) drawNames(g, here.values, here.at, scene);
  return true;
}

/** A radius that suits a canvas of so many pixels. */
export function dotRadius(width: number, height: number, times: number): number {
  return Math.max(1.5, Math.min(width, height) / 110) * times;
}

function drawDots(g: CanvasRenderingContext2D, values: Float32Array, at: number, scene: Scene): void {
  const { cast, threshold, scale, left, top, radius } = scene;
  for (const point of cast.shown) {
    const place = at + 3 * point;
    if (!((values[place + 2] as number) > threshold)) continue;
    const x = ((values[place] as number) + left) * scale;
    const y = ((values[place + 1] as number) + top) * scale;
    if (Number.isNaN(x + y)) continue;
    g.fillStyle = cast.colours[point] as string;
    g.beginPath();
    g.arc(x, y, radius, 0, 2 * Math.PI);
    g.fill();
  }
}

function drawBones(g: CanvasRenderingContext2D, values: Float32Array, at: number, scene: Scene): void {
  const { cast, threshold, scale, left, top, radius } = scene;
  g.lineWidth = Math.max(1, radius * 0.45);
  g.lineCap = "round";
  let colour = "";
  for (let bone = 0; bone < cast.boneColours.length; bone++) {
    const from = at + 3 * (cast.bones[2 * bone] as number);
    const to = at + 3 * (cast.bones[2 * bone + 1] as number);
    if (!((values[from + 2] as number) > threshold && (values[to + 2] as number) > threshold)) continue;
    const x = (values[from] as number) + (values[to] as number);
    if (Number.isNaN(x)) continue;
    if (cast.boneColours[bone] !== colour) {
      if (colour) g.stroke();
      colour = cast.boneColours[bone] as string;
      g.strokeStyle = colour;
      g.beginPath();
    }
    g.moveTo(((values[from] as number) + left) * scale, ((values[from + 1] as number) + top) * scale);
    g.lineTo(((values[to] as number) + left) * scale, ((values[to + 1] as number) + top) * scale);
  }
  if (colour) g.stroke();
}

function drawTrails(g: CanvasRenderingContext2D, frame: number, scene: Scene): void {
  const { cast, look, threshold, scale, left, top, radius } = scene;
  g.lineWidth = Math.max(1, radius * 0.4);
  g.lineCap = "butt";
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    const oldest = frame - Math.round((look.trail * (BUCKETS - bucket)) / BUCKETS);
    const newest = frame - Math.round((look.trail * (BUCKETS - bucket - 1)) / BUCKETS);
    if (newest === oldest) continue;
    g.globalAlpha = (0.85 * (bucket + 1)) / BUCKETS;
    for (const point of cast.shown) {
      g.strokeStyle = cast.colours[point] as string;
      g.beginPath();
      let drawn = false;
      for (let each = oldest; each <= newest; each++) {
        const found = scene.at(each);
        const place = found ? found.at + 3 * point : -1;
        const x = found && (found.values[place + 2] as number) > threshold ? (found.values[place] as number) : NaN;
        if (!found || Number.isNaN(x)) {
          drawn = false;
          continue;
        }
        const [across, down] = [(x + left) * scale, ((found.values[place + 1] as number) + top) * scale];
        if (drawn) g.lineTo(across, down);
        else g.moveTo(across, down);
        drawn = true;
      }
      g.stroke();
    }
  }
  g.globalAlpha = 1;
}

function drawNames(g: CanvasRenderingContext2D, values: Float32Array, at: number, scene: Scene): void {
  const { cast, threshold, scale, left, top, radius } = scene;
  g.font = `${Math.max(11, radius * 2.4)}px system-ui, sans-serif`;
  g.textBaseline = "middle";
  g.lineWidth = Math.max(2, radius * 0.5);
  g.lineJoin = "round";
  // White letters with a dark rim are read on any picture; the dot beside them has the colour.
  g.strokeStyle = "rgb(0 0 0 / 0.75)";
  g.fillStyle = "white";
  for (const point of cast.shown) {
    const place = at + 3 * point;
    if (!((values[place + 2] as number) > threshold)) continue;
    const x = ((values[place] as number) + left) * scale + radius * 1.6;
    const y = ((values[place + 1] as number) + top) * scale;
    const name = cast.names[point] as string;
    g.strokeText(name, x, y);
    g.fillText(name, x, y);
  }
}
