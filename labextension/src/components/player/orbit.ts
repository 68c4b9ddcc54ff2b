/** Points in space on a flat canvas: a camera that turns around them, drawn without WebGL. */

import type { At, Scene as FlatScene } from "./drawing";
import { BUCKETS } from "./drawing";

export interface SpaceScene extends Pick<FlatScene, "cast" | "look" | "radius"> {
  at: At;
  /** Of lengths; "" where it is not known. */
  unit: string;
  /** Points with a larger error, in pixels, are not drawn; 0: all are. */
  mostError: number;
}

/** The numbers of a point: x, y, z and the error. */
const SIZE = 4;

/** What is seen of space: around `middle`, which is `extent` large. */
export interface Extent {
  middle: [number, number, number];
  /** Half of the largest side, in the poses' unit. */
  radius: number;
}

/** Find where most of the points are: single strays do not push everything else out of sight. */
export function extentOf(values: Float32Array, mostError = 0): Extent {
  const axes: [number[], number[], number[]] = [[], [], []];
  const count = values.length / SIZE;
  const every = Math.max(1, Math.floor(count / 20_000));
  for (let point = 0; point < count; point += every) {
    const at = point * SIZE;
    if (mostError > 0 && !((values[at + 3] as number) <= mostError)) continue;
    for (let axis = 0; axis < 3; axis++) {
      const value = values[at + axis] as number;
      if (!Number.isNaN(value)) axes[axis]?.push(value);
    }
  }
  let radius = 0;
  const middle = axes.map((each) => {
    if (each.length === 0) return 0;
    each.sort((a, b) => a - b);
    const low = each[Math.floor(each.length * 0.01)] as number;
    const high = each[Math.ceil(each.length * 0.99) - 1] as number;
    radius = Math.max(radius, (high - low) / 2);
    return (low + high) / 2;
  }) as [number, number, number];
  return { middle, radius: radius > 0 ? radius : 1 };
}

/** How far the lines of the grid are apart: a round number, so that four of them are about as long as the scene. */
export function gridStep(radius: number): number {
  const power = 10 ** Math.floor(Math.log10(radius / 4));
  const step = [1, 2, 5, 10].find((each) => each * power >= radius / 4) ?? 10;
  return Number((step * power).toPrecision(1));
}

/** A camera that looks at the middle of the scene from a direction and a distance. */
export class Orbit {
  yaw = 0.7;
  pitch = 0.5;
  /** In radii of the scene. */
  distance = 3.6;
  /** The axis that is up: 0, 1 or 2, and whether it points down. */
  up = 2;
  upwards = 1;

  private width = 1;
  private height = 1;
  private extent: Extent = { middle: [0, 0, 0], radius: 1 };

  turn(yaw: number, pitch: number): void {
    this.yaw += yaw;
    this.pitch = Math.max(-1.55, Math.min(1.55, this.pitch + pitch));
  }

  near(factor: number): void {
    this.distance = Math.max(1.2, Math.min(20, this.distance * factor));
  }

  reset(): void {
    [this.yaw, this.pitch, this.distance] = [0.7, 0.5, 3.6];
  }

  look(width: number, height: number, extent: Extent): void {
    [this.width, this.height, this.extent] = [width, height, extent];
  }

  /** Project a point: x and y in pixels of the canvas, and its distance in radii, into `out` from `place` on. */
  project(x: number, y: number, z: number, out: Float32Array, place: number): void {
    const { middle, radius } = this.extent;
    const given = [(x - middle[0]) / radius, (y - middle[1]) / radius, (z - middle[2]) / radius];
    // The axis that is up becomes the third one, by turning them around: handedness stays.
    const a = given[(this.up + 1) % 3] as number;
    const b = (given[(this.up + 2) % 3] as number) * this.upwards;
    const c = (given[this.up] as number) * this.upwards;
    const [cosYaw, sinYaw] = [Math.cos(this.yaw), Math.sin(this.yaw)];
    const [cosPitch, sinPitch] = [Math.cos(this.pitch), Math.sin(this.pitch)];
    const across = cosYaw * a + sinYaw * b;
    const ahead = cosYaw * b - sinYaw * a;
    const depth = this.distance + cosPitch * ahead + -sinPitch * c;
    const above = cosPitch * c + sinPitch * ahead;
    const focus = (Math.min(this.width, this.height) * 1.6) / Math.max(0.05, depth);
    out[place] = this.width / 2 + across * focus;
    out[place + 1] = this.height / 2 - above * focus;
    out[place + 2] = depth;
  }
}

/** Draws frames of points in space; keeps its buffers from one frame to the next. */
export class SpacePainter {
  private spots = new Float32Array(0);
  private readonly ends = new Float32Array(6);

  constructor(readonly orbit: Orbit) {}

  draw(g: CanvasRenderingContext2D, frame: number, scene: SpaceScene, extent: Extent, ink: string): void {
    this.orbit.look(g.canvas.width, g.canvas.height, extent);
    this.floor(g, extent, ink, scene.unit);
    if (scene.look.trail > 0) this.trails(g, frame, scene);
    const here = scene.at(frame);
    if (!here) return;
    const points = scene.cast.colours.length;
    if (this.spots.length < 3 * points) this.spots = new Float32Array(3 * points);
    for (let point = 0; point < points; point++) this.place(here.values, here.at + SIZE * point, scene, 3 * point);
    if (scene.look.skeleton) this.bones(g, scene);
    this.dots(g, scene, ink);
  }

  /** Project a point; NaN where it is not to be drawn. */
  private place(values: Float32Array, at: number, scene: SpaceScene, place: number, out = this.spots): void {
    const error = values[at + 3] as number;
    if (scene.mostError > 0 && error > scene.mostError) {
      out[place] = NaN;
      return;
    }
    this.orbit.project(values[at] as number, values[at + 1] as number, values[at + 2] as number, out, place);
  }

  private dots(g: CanvasRenderingContext2D, { cast, look, radius }: SpaceScene, ink: string): void {
    const { spots } = this;
    const farthestFirst = [...cast.shown]
      .filter((point) => !Number.isNaN(spots[3 * point] as number))
      .sort((one, other) => (spots[3 * other + 2] as number) - (spots[3 * one + 2] as number));
    g.font = `${Math.max(11, radius * 2.4)}px system-ui, sans-serif`;
    g.textBaseline = "middle";
    for (const point of farthestFirst) {
      const [x, y, depth] = [
        spots[3 * point] as number,
        spots[3 * point + 1] as number,
        spots[3 * point + 2] as number,
      ];
      g.fillStyle = cast.colours[point] as string;
      g.beginPath();
      g.arc(x, y, Math.max(1.5, (radius * this.orbit.distance) / Math.max(0.2, depth)), 0, 2 * Math.PI);
      g.fill();
      if (!look.labels) continue;
      g.fillStyle = ink;
      g.fillText(cast.names[point] as string, x + radius * 1.6, y);
    }
  }

  private bones(g: CanvasRenderingContext2D, { cast, radius }: SpaceScene): void {
    const { spots } = this;
    g.lineWidth = Math.max(1, radius * 0.45);
    g.lineCap = "round";
    for (let bone = 0; bone < cast.boneColours.length; bone++) {
      const [from, to] = [3 * (cast.bones[2 * bone] as number), 3 * (cast.bones[2 * bone + 1] as number)];
      if (Number.isNaN((spots[from] as number) + (spots[to] as number))) continue;
      // Half of a line has the colour of each of its ends: white would not be seen on a light page.
      const [x, y] = [
        ((spots[from] as number) + (spots[to] as number)) / 2,
        ((spots[from + 1] as number) + (spots[to + 1] as number)) / 2,
      ];
      for (const [end, number] of [
        [from, cast.bones[2 * bone]],
        [to, cast.bones[2 * bone + 1]],
      ] as [number, number][]) {
        g.strokeStyle = cast.colours[number] as string;
        g.beginPath();
        g.moveTo(spots[end] as number, spots[end + 1] as number);
        g.lineTo(x, y);
        g.stroke();
      }
    }
  }

  private trails(g: CanvasRenderingContext2D, frame: number, scene: SpaceScene): void {
    const { cast, look, radius } = scene;
    g.lineWidth = Math.max(1, radius * 0.4);
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const oldest = frame - Math.round((look.trail * (BUCKETS - bucket)) / BUCKETS);
      const newest = frame - Math.round((look.trail * (BUCKETS - bucket - 1)) / BUCKETS);
      g.globalAlpha = (0.85 * (bucket + 1)) / BUCKETS;
      for (const point of cast.shown) {
        g.strokeStyle = cast.colours[point] as string;
        g.beginPath();
        let drawn = false;
        for (let each = oldest; each <= newest; each++) {
          const found = scene.at(each);
          if (found) this.place(found.values, found.at + SIZE * point, scene, 0, this.ends);
          if (!found || Number.isNaN(this.ends[0])) {
            drawn = false;
            continue;
          }
          if (drawn) g.lineTo(this.ends[0] as number, this.ends[1] as number);
          else g.moveTo(this.ends[0] as number, this.ends[1] as number);
          drawn = true;
        }
        g.stroke();
      }
    }
    g.globalAlpha = 1;
  }

  /** A grid beneath everything, so that one sees how one looks at it. */
  private floor(g: CanvasRenderingContext2D, { middle, radius }: Extent, ink: string, unit: string): void {
    const { up, upwards } = this.orbit;
    const step = gridStep(radius);
    g.strokeStyle = ink;
    g.lineWidth = 1;
    g.globalAlpha = 0.35;
    g.beginPath();
    const corner = [0, 0, 0];
    const mark = (a: number, b: number, place: number): void => {
      corner[(up + 1) % 3] = (middle[(up + 1) % 3] as number) + a * step;
      corner[(up + 2) % 3] = (middle[(up + 2) % 3] as number) + b * step;
      corner[up] = (middle[up] as number) - radius * upwards * 0.6;
      this.orbit.project(corner[0] as number, corner[1] as number, corner[2] as number, this.ends, place);
    };
    for (let line = -4; line <= 4; line++) {
      for (const turned of [false, true]) {
        mark(turned ? -4 : line, turned ? line : -4, 0);
        mark(turned ? 4 : line, turned ? line : 4, 3);
        g.moveTo(this.ends[0] as number, this.ends[1] as number);
        g.lineTo(this.ends[3] as number, this.ends[4] as number);
      }
    }
    g.stroke();
    g.globalAlpha = 1;
    g.font = `${Math.max(11, g.canvas.height / 45)}px system-ui, sans-serif`;
    g.fillStyle = ink;
    g.textBaseline = "alphabetic";
    g.fillText(`grid ${step} ${unit}`, 12, g.canvas.height - 12);
  }
}
