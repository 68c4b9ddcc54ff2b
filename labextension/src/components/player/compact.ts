/** Poses in the server's compact form: `DLCP`, a header in JSON, and 32-bit floats, all little-endian. */

export interface PosesHeader {
  scorer: string;
  /** The individual ("" for a single animal) and the body part of each point. */
  points: [string, string][];
  /** How many frames have poses so far. */
  frames: number;
  /** Of this answer. */
  start: number;
  count: number;
  analysis_id?: string;
  state?: string;
  /** Which frame of the video the poses' frame 0 is. */
  first?: number;
  /** x1, x2, y1, y2 in pixels: the points count from (x1, y1). */
  cropping?: [number, number, number, number];
  /** In space: pairs of body parts, the unit of lengths, and which way is up. */
  skeleton?: [string, string][];
  unit?: string;
  up?: [number, number, number] | string;
  fps?: number;
}

export interface Piece {
  header: PosesHeader;
  /** Frames × points × numbers of each point. */
  values: Float32Array;
}

const START = 12;

/** Read an answer. @throws Error It is none of this form. */
export function decode(content: ArrayBuffer): Piece {
  const view = new DataView(content);
  if (content.byteLength < START || view.getUint32(0, false) !== 0x444c4350) {
    throw new Error("The server's answer holds no poses: its version may be another than this panel's.");
  }
  const begin = START + view.getUint32(8, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(content, START, begin - START))) as PosesHeader;
  const length = Math.floor((content.byteLength - begin) / 4);
  // A view where the bytes lie evenly, as the layout has it: nothing is copied.
  const values = begin % 4 === 0 ? new Float32Array(content, begin, length) : new Float32Array(content.slice(begin));
  return { header, values };
}
