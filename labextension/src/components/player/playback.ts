/** What the server says of a video: its frames and their times, and whether browsers play it. */

import type { Store } from "../../server/store";
import { FrameIndex, type Regular } from "./frame_index";

/** The answer of `GET file/<id>/playback`. */
interface PlaybackBody {
  frames: number;
  width: number;
  height: number;
  fps: number;
  rotation?: number;
  timing: { regular: Regular } | { times: string } | null;
  play: "direct" | "remux" | "proxy";
  why: string | null;
  playable_file: string | null;
}

export interface Playback {
  fileId: string;
  /** Pixels, as OpenCV decodes the picture: the poses are in these. */
  width: number;
  height: number;
  fps: number;
  index: FrameIndex;
  /** Whether browsers play it as it is. */
  direct: boolean;
  /** Why not, in a sentence. */
  why: string;
  /** A video of the same frames that they do play, where one was made. */
  playableFile: string;
}

/** Milliseconds between two questions while the server is still looking at the file. */
const AGAIN = 500;

/** Ask until the server knows. @throws Refusal, Unreachable */
export async function playbackOf(store: Store, fileId: string, signal?: AbortSignal): Promise<Playback> {
  for (;;) {
    const answer = await store.server.ask(`file/${fileId}/playback`, signal ? { signal } : {});
    if (answer.status !== 202) {
      return await described(store, fileId, (await answer.json()) as PlaybackBody, signal);
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN));
  }
}

async function described(store: Store, fileId: string, body: PlaybackBody, signal?: AbortSignal): Promise<Playback> {
  return {
    fileId,
    width: body.width,
    height: body.height,
    fps: body.fps,
    index: await indexOf(store, body, signal),
    direct: body.play === "direct",
    why: body.why ?? "",
    playableFile: body.playable_file ?? "",
  };
}

async function indexOf(store: Store, body: PlaybackBody, signal?: AbortSignal): Promise<FrameIndex> {
  const { timing, frames, fps } = body;
  if (timing && "regular" in timing) return FrameIndex.regular(frames, timing.regular);
  if (timing) {
    const answer = await store.server.ask(withinServer(timing.times), signal ? { signal } : {});
    return FrameIndex.table(new Float64Array(await answer.bytes()));
  }
  return evenly(frames, fps);
}

/** Times where nothing is known but a rate; at 30 frames a second where there is none either. */
export function evenly(frames: number, fps: number): FrameIndex {
  return FrameIndex.regular(frames, { start: 0, step: 1, timescale: fps > 0 ? fps : 30 });
}

/** A path may be whole; requests want what is behind `…/dlc/`. */
export function withinServer(path: string): string {
  return path.replace(/^.*\/dlc\//, "").replace(/^\//, "");
}
