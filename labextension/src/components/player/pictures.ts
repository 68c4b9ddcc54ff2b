/** Which file's pictures are shown with the poses: the video itself, or a copy that browsers play, made on request. */

import { effect, signal, untracked } from "@preact/signals";
import { launch } from "../../server/actions";
import { Refusal, sentence } from "../../server/refusal";
import type { Store } from "../../server/store";
import type { Analysis } from "../../server/types";
import { playbackOf, type Playback } from "./playback";

/** What the file that is played is like; it is another than the video where that does not play. */
export interface Played {
  address: string;
  playback: Playback;
}

export class Pictures {
  /** What plays; null where only poses are shown. */
  readonly played = signal<Played | null>(null);
  /** Why no pictures are shown, in a sentence; "" where they are. */
  readonly why = signal("");
  /** The analysis that makes a copy that plays; "" while there is none. */
  readonly making = signal("");

  private stopWatching: () => void = () => undefined;
  /** Whether the copy that was made last did not play either. */
  private copyFailed = false;

  /**
   * @param fileId The video.
   * @param made Called when a copy is there, before it is played.
   */
  constructor(
    private readonly store: Store,
    private readonly fileId: string,
    private readonly signal: AbortSignal,
    private readonly made: () => Promise<void>,
  ) {}

  /** Play the video as it is, or the copy of it where there is one; otherwise say why not. */
  async choose(playback: Playback): Promise<void> {
    if (!this.store.server.direct) {
      this.why.value =
        "The page reaches the server only through the notebook's kernel: the poses are shown without the video.";
    } else if (playback.playableFile) {
      // Somebody has asked for it: because a browser did not play the video, or for quicker scrubbing.
      await this.playFile(playback.playableFile);
    } else if (playback.direct) {
      this.play(playback);
      if (playback.making) this.watch(playback.making);
    } else {
      this.why.value = playback.why || "Browsers do not play this video.";
      if (playback.making) this.watch(playback.making);
    }
  }

  /** The browser could not play what the server took for playable. */
  refuse(reason: string): void {
    this.copyFailed = this.played.peek()?.playback.fileId !== this.fileId;
    this.why.value = `${reason} It can be made playable: a copy of the same frames, which takes some time.`;
    this.played.value = null;
  }

  /** Whether the video itself is played, so that a copy with more key frames would be scrubbed more quickly. */
  get original(): boolean {
    return this.played.value?.playback.fileId === this.fileId;
  }

  /**
   * Have a copy made, and play it when it is there.
   *
   * @param anew Encode it anew, though its pictures could be copied.
   */
  async make(anew = false): Promise<void> {
    const current = this.played.peek();
    const copied = this.copyFailed || (current !== null && current.playback.fileId !== this.fileId);
    try {
      const request = { analysis: "playable", file_id: this.fileId, ...(copied || anew ? { how: "proxy" } : {}) };
      this.watch(await launch(this.store, request));
    } catch (error) {
      this.why.value = sentence(error);
    }
  }

  close(): void {
    this.stopWatching();
  }

  private play(playback: Playback): void {
    this.why.value = "";
    this.played.value = { address: this.store.server.address(`file/${playback.fileId}`), playback };
  }

  private async playFile(fileId: string): Promise<void> {
    try {
      const playback = await playbackOf(this.store, fileId, this.signal);
      if (!this.signal.aborted) this.play(playback);
    } catch (error) {
      if (!this.signal.aborted) this.why.value = sentence(error);
    }
  }

  private watch(analysisId: string): void {
    this.stopWatching();
    this.making.value = analysisId;
    this.stopWatching = effect(() => {
      const analysis = this.store.analysis(analysisId);
      if (!analysis || analysis.state === "queued" || analysis.state === "running") return;
      untracked(() => void this.ended(analysis));
    });
  }

  private async ended(analysis: Analysis): Promise<void> {
    if (this.making.peek() !== analysis.analysis_id) return;
    this.making.value = "";
    if (analysis.state === "cancelled") return;
    try {
      const result = await this.store.json<{ video_file: string }>(`analysis/${analysis.analysis_id}`);
      await this.made();
      await this.playFile(result.video_file);
    } catch (error) {
      const failure = error instanceof Refusal ? error.body.error : undefined;
      this.why.value = failure ? `${failure.message} ${failure.hint}`.trim() : sentence(error);
    }
  }
}
