/** One video, or one scene in space, as a player has it open: its frames, its poses, and what is played of it. */

import { effect, signal, untracked } from "@preact/signals";
import { Refusal, sentence } from "../../server/refusal";
import type { Store } from "../../server/store";
import type { Analysis } from "../../server/types";
import { decode, type Piece } from "./compact";
import { overviewOf, type Overview } from "./overview";
import { Pictures } from "./pictures";
import { evenly, playbackOf, type Playback } from "./playback";
import { PoseStore } from "./pose_store";
import { Transport, type Wishes } from "./transport";

/** Milliseconds between two looks at poses that are being made, and at their overview. */
const GROWS = 1000;
const OVERVIEW_GROWS = 5000;

/** Frames of a scene in space that are fetched at once: its time line is made of them, there is no overview. */
const ALL_OF_SPACE = 65_536;

const IN_SPACE = new Set(["triangulate", "label_3d"]);

/** `nothing`: neither the video's frames are known yet nor any poses. */
export type Phase = "opening" | "ready" | "nothing" | "failed";

export class Session {
  readonly phase = signal<Phase>("opening");
  /** Why it could not be opened, in a sentence. */
  readonly problem = signal("");
  /** Why there are no poses (yet), in a sentence. */
  readonly noPoses = signal("");
  readonly overview = signal<Overview | null>(null);
  /** Whose poses are shown. */
  readonly analysisId = signal("");
  readonly poses: PoseStore;
  readonly pictures: Pictures;
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
    this.pictures = new Pictures(store, fileId, this.aborts.signal, () => this.learnFrames());
  }

  async open(): Promise<void> {
    try {
      await this.learnFrames();
      if (this.closed()) return;
      this.follow();
      if (!this.space && this.playback) await this.pictures.choose(this.playback);
      if (this.space) this.poses.wantAll(0, Math.min(this.poses.stop, ALL_OF_SPACE));
      void this.loadOverview();
    } catch (error) {
      if (this.closed()) return;
      this.problem.value = sentence(error);
      this.phase.value = "failed";
    }
  }

  close(): void {
    this.aborts.abort();
    clearTimeout(this.timer);
    this.pictures.close();
    for (const end of this.endings) end();
    if (this.phase.peek() === "ready") this.transport.close();
    this.poses.close();
  }

  /** Asked anew after every wait. */
  private closed(): boolean {
    return this.aborts.signal.aborted;
  }

  // -- opening -----------------------------------------------------------------------------------------------------

  /** Find out how many frames there are and when each is shown; once that is known it stays. */
  private async learnFrames(): Promise<void> {
    if (this.phase.peek() === "ready") return;
    const file = this.fileId || (await this.analysisOf(this.wantedAnalysis)).file_id[0];
    const [playback] = await Promise.all([this.playbackOf(file), this.openPoses()]);
    if (this.closed()) return;
    this.playback = playback;
    const known = playback !== null && playback.index.frames > 0;
    const index = known ? playback.index : evenly(this.poses.stop, playback?.fps ?? this.poses.about.peek()?.fps ?? 0);
    if (index.frames === 0) {
      this.phase.value = "nothing";
      return;
    }
    this.transport = new Transport(index, this.wishes);
    this.transport.goTo(this.startFrame);
    this.phase.value = "ready";
  }

  private async analysisOf(id: string): Promise<Analysis> {
    return this.store.analysis(id) ?? (await this.store.refresh(id));
  }

  /** What is known of the video; of a scene it is not needed. */
  private async playbackOf(fileId: string | undefined): Promise<Playback | null> {
    try {
      return fileId ? await playbackOf(this.store, fileId, this.aborts.signal) : null;
    } catch (error) {
      if (this.space) return null;
      throw error;
    }
  }

  private async openPoses(): Promise<void> {
    if (this.poses.about.peek()) return;
    try {
      const header = await this.poses.open(this.startFrame);
      if (header.analysis_id) this.analysisId.value = header.analysis_id;
      this.noPoses.value = "";
    } catch (error) {
      // A video without poses is shown all the same, and those of a scene may come.
      if (this.space && !(error instanceof Refusal && error.status === 404)) throw error;
      this.noPoses.value = sentence(error);
    }
  }

  private async fetch(start: number, stop: number): Promise<Piece> {
    const id = this.analysisId.peek();
    const path = this.space
      ? `analysis/${this.wantedAnalysis}/space?start=${start}&stop=${stop}`
      : `file/${this.fileId}/poses?start=${start}&stop=${stop}${id ? `&analysis_id=${id}` : ""}`;
    return decode(await (await this.store.server.ask(path, { signal: this.aborts.signal })).bytes());
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
    else await this.openLater();
    if (Date.now() - this.overviewAt > OVERVIEW_GROWS) await this.loadOverview();
  }

  /** It has ended: animals may have changed places since, and a filter or a cut may have followed. */
  private async renew(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.poses.about.peek()) await this.poses.renew();
    else await this.openLater();
    await this.loadOverview();
  }

  /** Poses, and with them frames, that were not there when it was opened. */
  private async openLater(): Promise<void> {
    try {
      await this.openPoses();
      await this.learnFrames();
    } catch (error) {
      this.noPoses.value = sentence(error);
    }
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
