/** One video, or one scene in space, as a player has it open: its frames, its poses, and what is played of it. */

import { effect, signal, untracked } from "@preact/signals";
import { launch } from "../../server/actions";
import { Refusal, sentence } from "../../server/refusal";
import type { Store } from "../../server/store";
import type { Analysis } from "../../server/types";
import { decode, type Piece } from "./compact";
import { overviewOf, type Overview } from "./overview";
import { evenly, playbackOf, type Playback } from "./playback";
import { PoseStore } from "./pose_store";
import { Transport, type Wishes } from "./transport";

/** Milliseconds between two looks at poses that are being made, and at their overview. */
const GROWS = 1000;
const OVERVIEW_GROWS = 5000;

const IN_SPACE = new Set(["triangulate", "label_3d"]);

/** What the file that is played is like; it is another than the video where that does not play. */
export interface Played {
  address: string;
  playback: Playback;
}

export class Session {
  readonly phase = signal<"opening" | "ready" | "failed">("opening");
  /** Why it could not be opened, in a sentence. */
  readonly problem = signal("");
  /** Why there are no poses (yet), in a sentence. */
  readonly noPoses = signal("");
  readonly overview = signal<Overview | null>(null);
  /** What plays; null where only poses are shown. */
  readonly played = signal<Played | null>(null);
  /** Why no pictures are shown, in a sentence. */
  readonly noPictures = signal("");
  /** The analysis that makes the video playable; "" while none was asked for. */
  readonly making = signal("");
  /** Whose poses are shown. */
  readonly analysisId = signal("");
  readonly poses: PoseStore;
  /** There from `ready` on. */
  transport!: Transport;
  playback: Playback | null = null;
  readonly space: boolean;

  private readonly aborts = new AbortController();
  private readonly endings: (() => void)[] = [];
  private lookedAt = 0;
  private overviewAt = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  /** @param fileId "": the scene in space of the analysis. */
  constructor(
    readonly store: Store,
    readonly fileId: string,
    private readonly wantedAnalysis: string,
    private readonly wishes: Wishes,
    private readonly startFrame: number,
  ) {
    this.space = fileId === "";
    this.analysisId.value = wantedAnalysis;
    this.poses = new PoseStore((start, stop) => this.fetch(start, stop), this.space ? 4 : 3);
  }

  async open(): Promise<void> {
    try {
      const file = this.fileId || (await this.analysisOf(this.wantedAnalysis)).file_id[0];
      const [playback] = await Promise.all([this.playbackOf(file), this.openPoses()]);
      if (this.closed()) return;
      this.playback = playback;
      const poses = this.poses.about.peek();
      const index = playback?.index ?? evenly(this.poses.stop, poses?.fps ?? 0);
      if (index.frames === 0)
        throw new Error("There is nothing to show yet: neither the video's frames are known nor poses.");
      this.transport = new Transport(index, this.wishes);
      this.phase.value = "ready";
      this.transport.goTo(this.startFrame);
      if (!this.space && playback) await this.choosePictures(playback);
      this.follow();
      void this.loadOverview();
    } catch (error) {
      if (this.closed()) return;
      this.problem.value = sentence(error);
      this.phase.value = "failed";
    }
  }

  /** The browser could not play what the server took for playable. */
  refuse(reason: string): void {
    this.noPictures.value = `${reason} A copy that plays can be made.`;
    this.played.value = null;
  }

  /** Have a playable video of the same frames made, and play it when it is there. */
  async makePlayable(): Promise<void> {
    try {
      this.making.value = await launch(this.store, { analysis: "playable", file_id: this.fileId });
    } catch (error) {
      this.noPictures.value = sentence(error);
      return;
    }
    this.endings.push(
      effect(() => {
        const analysis = this.store.analysis(this.making.value);
        if (analysis?.state === "succeeded") untracked(() => void this.playMade(analysis.analysis_id));
        if (analysis?.state === "failed" || analysis?.state === "cancelled") {
          untracked(() => void this.explain(analysis));
        }
      }),
    );
  }

  close(): void {
    this.aborts.abort();
    clearTimeout(this.timer);
    for (const end of this.endings) end();
    if (this.phase.peek() === "ready") this.transport.close();
    this.poses.close();
  }

  /** Asked anew after every wait. */
  private closed(): boolean {
    return this.aborts.signal.aborted;
  }

  // -- opening -----------------------------------------------------------------------------------------------------

  private async analysisOf(id: string): Promise<Analysis> {
    return this.store.analysis(id) ?? (await this.store.refresh(id));
  }

  /** What is known of the video; of a scene it is not needed. */
  private async playbackOf(fileId: string | undefined): Promise<Playback | null> {
    try {
      if (!fileId) return null;
      const found = await playbackOf(this.store, fileId, this.aborts.signal);
      return found.index.frames > 0 ? found : null;
    } catch (error) {
      if (this.space) return null;
      throw error;
    }
  }

  private async openPoses(): Promise<void> {
    try {
      const header = await this.poses.open(this.startFrame);
      if (header.analysis_id) this.analysisId.value = header.analysis_id;
      this.noPoses.value = "";
    } catch (error) {
      // A video without poses is shown all the same.
      if (this.space && !(error instanceof Refusal && error.status === 404)) throw error;
      this.noPoses.value = sentence(error);
    }
  }

  private async fetch(start: number, stop: number): Promise<Piece> {
    const path = this.space
      ? `analysis/${this.wantedAnalysis}/space?start=${start}&stop=${stop}`
      : `file/${this.fileId}/poses?start=${start}&stop=${stop}${this.whose()}`;
    return decode(await (await this.store.server.ask(path, { signal: this.aborts.signal })).bytes());
  }

  private whose(): string {
    const id = this.analysisId.peek();
    return id ? `&analysis_id=${id}` : "";
  }

  private async choosePictures(playback: Playback): Promise<void> {
    if (!this.store.server.direct) {
      this.noPictures.value =
        "The page reaches the server only through the notebook's kernel, so that the poses are shown without the video.";
      return;
    }
    if (playback.direct) this.play(playback);
    else if (playback.playableFile) await this.playFile(playback.playableFile);
    else this.noPictures.value = playback.why || "Browsers do not play this video.";
  }

  private play(playback: Playback): void {
    this.noPictures.value = "";
    this.played.value = { address: this.store.server.address(`file/${playback.fileId}`), playback };
  }

  private async playFile(fileId: string): Promise<void> {
    try {
      const playback = await playbackOf(this.store, fileId, this.aborts.signal);
      if (this.closed()) return;
      if (playback.index.frames !== this.transport.index.frames) {
        this.noPictures.value = "The copy that was made to be played has other frames than the video. Make it anew.";
        return;
      }
      this.play(playback);
    } catch (error) {
      if (!this.closed()) this.noPictures.value = sentence(error);
    }
  }

  private async playMade(analysisId: string): Promise<void> {
    this.making.value = "";
    try {
      const result = await this.store.json<{ video_file: string }>(`analysis/${analysisId}`);
      await this.playFile(result.video_file);
    } catch (error) {
      this.noPictures.value = sentence(error);
    }
  }

  private async explain(analysis: Analysis): Promise<void> {
    this.making.value = "";
    if (analysis.state === "cancelled") return;
    try {
      await this.store.json(`analysis/${analysis.analysis_id}`);
    } catch (error) {
      const failure = error instanceof Refusal ? error.body.error : undefined;
      this.noPictures.value = failure ? `${failure.message} ${failure.hint}`.trim() : sentence(error);
    }
  }

  // -- poses that are being made -------------------------------------------------------------------------------------

  /** Fetch poses as they are made, whenever the store hears of progress. */
  private follow(): void {
    let before = this.poses.about.peek()?.state ?? "";
    this.endings.push(
      effect(() => {
        const id = this.analysisId.value;
        const analysis = id ? this.store.analysis(id) : this.newestOfFile();
        const state = analysis?.state ?? "";
        const ended = (before === "running" || before === "queued") && state === "succeeded";
        if (state) before = state;
        if (ended) {
          untracked(() => void this.renew());
        } else if (state === "running") {
          untracked(() => {
            this.growSoon();
          });
        }
      }),
    );
  }

  /** Where no analysis was named, the newest one that is at work on this file. */
  private newestOfFile(): Analysis | undefined {
    return this.store.analyses.value.find((each) => each.file_id.includes(this.fileId) && each.state === "running");
  }

  private growSoon(): void {
    if (this.timer !== undefined) return;
    const wait = Math.max(0, this.lookedAt + GROWS - Date.now());
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.lookedAt = Date.now();
      void this.grow();
    }, wait);
  }

  private async grow(): Promise<void> {
    if (this.closed()) return;
    if (this.poses.about.peek()) await this.poses.grow();
    else await this.openPoses();
    if (Date.now() - this.overviewAt > OVERVIEW_GROWS) await this.loadOverview();
  }

  private async renew(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.poses.about.peek()) await this.poses.renew();
    else await this.openPoses();
    await this.loadOverview();
  }

  private async loadOverview(): Promise<void> {
    this.overviewAt = Date.now();
    if (this.space || this.closed() || !this.poses.about.peek()) return;
    try {
      const found = await overviewOf(this.store, this.fileId, this.analysisId.peek());
      if (!this.closed()) this.overview.value = found;
    } catch {
      // The time line is made of the poses themselves then, as far as they are here.
    }
  }
}

/** Whether an analysis makes points in space. */
export function isInSpace(analysis: Analysis): boolean {
  return IN_SPACE.has(analysis.analysis);
}
