/** What the server says of a video: its frames and their times, and whether browsers play it. */

import type { Store } from "../../server/store";
import { FrameIndex, type Regular } from "./frame_index";

/** The answer of `GET file/<id>/playback`; null is what only decoding would tell. */
interface PlaybackBody {
  frames: number | null;
  width: number | null;
  height: number | null;
  fps: number | null;
  timing: { regular: Regular } | { times: string } | null;
  play: "direct" | "remux" | "proxy";
  why: string | null;
  playable_file: string | null;
  making?: string | null;
}

export interface Playback {
  fileId: string;
  /** Pixels, as OpenCV decodes the picture: the poses are in these. 0: not known. */
  width: number;
  height: number;
  fps: number;
  /** Of no frames where nothing is known of them. */
  index: FrameIndex;
  /** Whether browsers play it as it is. */
  direct: boolean;
  /** Why not, in a sentence. */
  why: string;
  /** A video of the same frames that they do play, where one was made. */
  playableFile: string;
  /** The analysis that is making one. */
  making: string;
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
  const media = store.file(fileId)?.media;
  const known = {
    fileId,
    width: body.width ?? media?.width ?? 0,
    height: body.height ?? media?.height ?? 0,
    fps: body.fps ?? media?.fps ?? 0,
    direct: body.play === "direct",
    why: body.why ?? "",
    playableFile: body.playable_file ?? "",
    making: body.making ?? "",
  };
  return { ...known, index: await indexOf(store, body, body.frames ?? media?.frames ?? 0, known.fps, signal) };
}

async function indexOf(
  store: Store,
  { timing }: PlaybackBody,
  frames: number,
  fps: number,
  signal?: AbortSignal,
): Promise<FrameIndex> {
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
