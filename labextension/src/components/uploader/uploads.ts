/** The files that a page is sending: a few at a time, each with what there is to know of it. */

import { computed, signal, type ReadonlySignal, type Signal } from "@preact/signals";
import { sentence } from "../../server/refusal";
import type { Store } from "../../server/store";
import type { StoredFile } from "../../server/types";
import { sha1 } from "./digest";
import { discard, earlierUploads, type Earlier } from "./earlier";
import { Rate } from "./rate";
import type { Send, Sending } from "./sending";

export type UploadState = "waiting" | "comparing" | "sending" | "paused" | "stored" | "known" | "failed";

export interface Shown {
  state: UploadState;
  /** Bytes: compared, or sent. */
  done: number;
  /** Bytes a second. */
  rate: number | null;
  /** Seconds. */
  left: number | null;
  problem: string;
  /** The stored file's id; "" until it is stored. */
  fileId: string;
}

/** One file on its way. */
export class Item {
  readonly shown: Signal<Shown>;
  readonly rate = new Rate();
  sending: Sending | null = null;
  readonly stop = new AbortController();

  constructor(
    readonly key: number,
    readonly file: File,
  ) {
    this.shown = signal({ state: "waiting", done: 0, rate: null, left: null, problem: "", fileId: "" });
  }

  set(change: Partial<Shown>): void {
    this.shown.value = { ...this.shown.value, ...change };
  }

  note(done: number): void {
    this.rate.note(performance.now(), done);
    const rate = this.rate.perSecond;
    this.set({ done, rate, left: rate ? (this.file.size - done) / rate : null });
  }

  get active(): boolean {
    const { state } = this.shown.value;
    return state === "comparing" || state === "sending";
  }
}

/** How many files are sent at a time: one keeps the network busy, two bridge the pauses in between. */
const AT_A_TIME = 2;

export class Uploads {
  readonly items = signal<readonly Item[]>([]);
  /** Begun earlier, not finished, and not among the items. */
  readonly earlier: ReadonlySignal<readonly Earlier[]>;
  private readonly unfinished = signal<readonly Earlier[]>([]);
  private number = 0;

  private readonly listeners = new Set<(fileId: string) => void>();

  /** @param send The way to the server. */
  constructor(
    private readonly store: Store,
    private readonly send: Send,
  ) {
    this.earlier = computed(() => {
      const here = new Set(this.items.value.map(({ file }) => `${file.name}/${file.size}`));
      return this.unfinished.value.filter((each) => !here.has(`${each.filename}/${each.size}`));
    });
  }

  /** Call with the id of each file that is there from now on, sent or known before; until the function is called. */
  onStored(listener: (fileId: string) => void): () => void {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  }

  /** Look which uploads were begun earlier. They are an offer: where none can be had, there is none. */
  async lookBack(): Promise<void> {
    this.unfinished.value = await earlierUploads(this.store).catch(() => []);
  }

  /** Give one of those up. @throws Refusal, Unreachable */
  async giveUp(upload: Earlier): Promise<void> {
    await discard(this.store, upload);
    await this.lookBack();
  }

  add(files: Iterable<File>): void {
    const present = new Set(this.items.value.map((each) => identity(each.file)));
    const fresh = [...files].filter((each) => !present.has(identity(each)));
    this.items.value = [...this.items.value, ...fresh.map((file) => new Item(++this.number, file))];
    this.next();
  }

  pause(item: Item): void {
    if (!item.sending) return;
    item.sending.pause();
    item.rate.forget();
    item.set({ state: "paused", rate: null, left: null });
    this.next();
  }

  resume(item: Item): void {
    item.set({ state: "waiting", problem: "" });
    this.next();
  }

  /** Take a file off the list; what of it has arrived goes, unless it is stored. */
  remove(item: Item): void {
    item.stop.abort();
    const { state } = item.shown.value;
    if (item.sending && state !== "stored" && state !== "known") {
      void item.sending
        .discard()
        .catch(() => undefined)
        .then(() => this.lookBack());
    }
    this.items.value = this.items.value.filter((each) => each !== item);
    this.next();
  }

  private next(): void {
    let free = AT_A_TIME - this.items.value.filter((each) => each.active).length;
    for (const item of this.items.value) {
      if (free <= 0) return;
      if (item.shown.value.state !== "waiting") continue;
      free -= 1;
      if (item.sending) {
        item.set({ state: "sending" });
        item.sending.start();
      } else {
        void this.run(item);
      }
    }
  }

  private async run(item: Item): Promise<void> {
    try {
      if (item.file.size === 0) throw new Error("The file is empty.");
      item.set({ state: "comparing", done: 0 });
      const digest = await this.knownDigest(item);
      item.rate.forget();
      item.sending = this.send(item.file, digest, (sent) => {
        if (item.shown.value.state === "sending") item.note(sent);
      });
      item.set({ state: "sending", done: 0 });
      item.sending.start();
      const fileId = await item.sending.done;
      const state = digest === null ? "stored" : "known";
      item.set({ state, done: item.file.size, rate: null, left: null, fileId });
      for (const each of this.listeners) each(fileId);
      void this.lookBack();
    } catch (error) {
      if (item.stop.signal.aborted) return;
      item.sending = null;
      item.set({ state: "failed", problem: sentence(error), rate: null, left: null });
    }
    this.next();
  }

  /** Return the file's SHA-1 where a file of its size is stored, which it may be; to know costs reading it. */
  private async knownDigest(item: Item): Promise<string | null> {
    const alike = await this.store.json<StoredFile[]>(`file?size=${item.file.size}`);
    if (alike.length === 0) return null;
    const digest = await sha1(
      item.file,
      (done) => {
        item.note(done);
      },
      item.stop.signal,
    );
    return alike.some((each) => each.file_id === digest) ? digest : null;
  }
}

/** Return what a page sends to a server: whichever of its panels shows it, and however often that is made anew. */
export function uploadsOf(store: Store, send: () => Send): Uploads {
  let uploads = known.get(store);
  if (!uploads) known.set(store, (uploads = new Uploads(store, send())));
  return uploads;
}

const known = new WeakMap<Store, Uploads>();

function identity(file: File): string {
  return `${file.name}/${file.size}/${file.lastModified}`;
}
