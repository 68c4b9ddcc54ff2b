/** The likelihood of a whole video in a few kilobytes: what the time line shows before, and instead of, all poses. */

import type { Store } from "../../server/store";

export interface Overview {
  /** Frames of poses that each bin is of. */
  span: number;
  bins: number;
  points: number;
  /** Lowest and mean likelihood in 254ths, 255 where there is none: points × bins. */
  min: Uint8Array;
  mean: Uint8Array;
}

/** Bins that are asked for: about a pixel each. */
const BINS = 1200;
const START = 12;

/** Fetch it. @throws Refusal, Unreachable */
export async function overviewOf(store: Store, fileId: string, analysisId: string): Promise<Overview> {
  const answer = await store.server.ask(`file/${fileId}/poses/overview?analysis_id=${analysisId}&bins=${BINS}`);
  return decodeOverview(await answer.bytes());
}

export function decodeOverview(content: ArrayBuffer): Overview {
  const begin = START + new DataView(content).getUint32(8, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(content, START, begin - START))) as {
    span: number;
    bins: number;
    points: [string, string][];
  };
  const [bins, points] = [header.bins, header.points.length];
  return {
    span: header.span,
    bins,
    points,
    min: new Uint8Array(content, begin, points * bins),
    mean: new Uint8Array(content, begin + points * bins, points * bins),
  };
}
