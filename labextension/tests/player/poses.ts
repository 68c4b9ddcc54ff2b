/** Poses of a test's own making, in the server's compact form. */

import type { Piece, PosesHeader } from "../../src/components/player/compact";

export const POINTS: [string, string][] = [
  ["", "snout"],
  ["", "tail"],
];

/** The bytes of an answer: every number says where it is: 1000 × frame + 10 × point + place. */
export function compact(header: Partial<PosesHeader>, size = 3): ArrayBuffer {
  const whole = { scorer: "DLC_net", points: POINTS, frames: 10, start: 0, count: 10, ...header };
  let text = JSON.stringify(whole);
  text += " ".repeat((4 - (new TextEncoder().encode(text).length % 4)) % 4);
  const json = new TextEncoder().encode(text);
  const { count, start, points } = whole;
  const content = new ArrayBuffer(12 + json.length + 4 * size * count * points.length);
  const view = new DataView(content);
  new Uint8Array(content).set(new TextEncoder().encode("DLCP"));
  view.setUint32(4, 1, true);
  view.setUint32(8, json.length, true);
  new Uint8Array(content, 12).set(json);
  let at = 12 + json.length;
  for (let frame = start; frame < start + count; frame++) {
    for (let point = 0; point < points.length; point++) {
      for (let place = 0; place < size; place++, at += 4) {
        view.setFloat32(at, place === size - 1 ? likelihood(frame) : number(frame, point, place), true);
      }
    }
  }
  return content;
}

export function number(frame: number, point: number, place: number): number {
  return 1000 * frame + 10 * point + place;
}

export function likelihood(frame: number): number {
  return (frame % 10) / 10;
}

/** A server of poses: what it was asked, and how many frames it has. */
export class Poses {
  readonly asked: [number, number][] = [];
  header: Partial<PosesHeader> = {};
  /** Answers are held back until it is called, where it is set. */
  hold: Promise<void> | null = null;

  constructor(
    public frames: number,
    readonly size = 3,
  ) {}

  readonly fetch = async (start: number, stop: number): Promise<Piece> => {
    this.asked.push([start, stop]);
    await this.hold;
    const count = Math.max(0, Math.min(stop, this.frames) - start);
    const header = { scorer: "DLC_net", points: POINTS, frames: this.frames, start, count, ...this.header };
    const values = new Float32Array(this.size * count * POINTS.length);
    for (let frame = 0; frame < count; frame++) {
      for (let each = 0; each < this.size * POINTS.length; each++) {
        const [point, place] = [Math.floor(each / this.size), each % this.size];
        values[frame * this.size * POINTS.length + each] =
          place === this.size - 1 ? likelihood(start + frame) : number(start + frame, point, place);
      }
    }
    return { header, values };
  };
}

export async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}
