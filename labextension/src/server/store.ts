/** What a page knows of its server, kept up to date: one for all panels of the page, so that no two disagree. */

import { computed, signal, type ReadonlySignal } from "@preact/signals";
import type { Connection } from "./connection";
import { follow, type ServerEvent } from "./events";
import { Refusal, sentence } from "./refusal";
import type { Analysis, Model, Schema, Status, StoredFile } from "./types";

const PAGE = 1000;
/** Milliseconds between two looks where no events come: while something runs, and otherwise. */
const SOON = 1000;
const LATER = 5000;
/** Milliseconds until a broken connection is tried again, the first time and at most. */
const FIRST_RETRY = 500;
const LAST_RETRY = 15_000;

/** How the page hears of changes: by events, by asking again and again, or not at the moment. */
export type Hearing = "events" | "polling" | "nothing";

export class Store {
  /** Newest first. */
  readonly analyses: ReadonlySignal<Analysis[]>;
  /** Newest first. */
  readonly files: ReadonlySignal<StoredFile[]>;
  readonly models = signal<Model[] | null>(null);
  readonly schema = signal<Schema | null>(null);
  readonly status = signal<Status | null>(null);
  /** Whether the lists are here. */
  readonly loaded = signal(false);
  readonly hearing = signal<Hearing>("nothing");
  /** Why nothing is heard, in a sentence; null while all is well. */
  readonly problem = signal<string | null>(null);

  private readonly known: ReadonlySignal<Map<string, Analysis>>;
  private readonly analysesById = signal(new Map<string, Analysis>());
  private readonly filesById = signal(new Map<string, StoredFile>());
  private users = 0;
  private stop: AbortController | null = null;
  private lastId = "";
  /** What is heard while lists are loaded, for each load that is under way. */
  private readonly loading = new Set<ServerEvent[]>();

  constructor(readonly server: Connection) {
    const newest = (a: { created: string }, b: { created: string }): number =>
      a.created < b.created ? 1 : a.created > b.created ? -1 : 0;
    this.analyses = computed(() => placed([...this.analysesById.value.values()].sort(newest)));
    this.known = computed(() => new Map(this.analyses.value.map((each) => [each.analysis_id, each])));
    this.files = computed(() => [...this.filesById.value.values()].sort(newest));
  }

  /** Keep up to date until the function that is returned was called as often as this one. */
  use(): () => void {
    this.users += 1;
    if (this.users === 1) {
      this.stop = new AbortController();
      void this.listen(this.stop.signal);
    }
    let used = true;
    return () => {
      if (!used) return;
      used = false;
      this.users -= 1;
      if (this.users === 0) {
        this.stop?.abort();
        this.hearing.value = "nothing";
      }
    };
  }

  analysis(id: string): Analysis | undefined {
    return this.known.value.get(id);
  }

  file(id: string): StoredFile | undefined {
    return this.filesById.value.get(id);
  }

  /** Load all lists, and what the forms are made of. @throws Refusal, Unreachable */
  async load(): Promise<void> {
    const meanwhile: ServerEvent[] = [];
    this.loading.add(meanwhile);
    try {
      await this.loadLists();
    } finally {
      this.loading.delete(meanwhile);
    }
    for (const event of meanwhile) this.apply(event); // the lists may be older than they
    this.loaded.value = true;
    this.problem.value = null;
  }

  private async loadLists(): Promise<void> {
    const [analyses, files, models, schema, status] = await Promise.all([
      this.pages<Analysis>("analysis", (each) => each.analysis_id),
      this.pages<StoredFile>("file", (each) => each.file_id),
      this.json<Model[]>("model"),
      this.json<Schema>("schema"),
      this.json<Status>("status"),
    ]);
    this.analysesById.value = new Map(analyses.map((each) => [each.analysis_id, each]));
    this.filesById.value = new Map(files.map((each) => [each.file_id, each]));
    this.models.value = models;
    this.schema.value = schema;
    this.status.value = status;
  }

  /** Look again at one analysis, at once: who has asked for a change need not wait for the event. */
  async refresh(analysisId: string): Promise<Analysis> {
    const found = await this.json<Analysis>(`analysis/${analysisId}/status`);
    this.put(this.analysesById, found.analysis_id, found);
    return found;
  }

  /** Look again how the server is. @throws Refusal, Unreachable */
  async look(): Promise<void> {
    this.status.value = await this.json<Status>("status");
  }

  /** Take out what was removed just now: who has asked for it need not wait for the event. */
  drop(kind: "analysis" | "file", id: string): void {
    if (kind === "analysis") this.remove(this.analysesById, id);
    else this.remove(this.filesById, id);
  }

  /** Return what the server answers to a GET of `path`. @throws Refusal, Unreachable */
  async json<T>(path: string): Promise<T> {
    return (await (await this.server.ask(path)).json()) as T;
  }

  // -- keeping up to date ---------------------------------------------------------------------------------------------

  private async listen(signal: AbortSignal): Promise<void> {
    let pause = FIRST_RETRY;
    while (!signal.aborted) {
      try {
        const streamed = await follow(
          this.server,
          this.lastId,
          signal,
          () => {
            pause = FIRST_RETRY;
            this.hearing.value = "events";
            if (!this.loaded.value || this.problem.value !== null || this.lastId === "") this.reload();
          },
          (event) => {
            this.hear(event);
          },
        );
        if (!streamed) {
          await this.poll(signal);
          return;
        }
      } catch (error) {
        if (stopped(signal)) return;
        if (error instanceof Refusal && error.status === 404) {
          await this.poll(signal);
          return;
        }
        this.problem.value = sentence(error);
      }
      this.hearing.value = "nothing";
      await sleep(pause, signal);
      pause = Math.min(pause * 2, LAST_RETRY);
    }
  }

  private async poll(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.load();
        this.hearing.value = "polling";
      } catch (error) {
        this.problem.value = sentence(error);
        this.hearing.value = "nothing";
      }
      const busy = this.analyses.value.some((each) => each.state === "running" || each.state === "queued");
      await sleep(busy ? SOON : LATER, signal);
      while (document.hidden && !stopped(signal)) await sleep(SOON, signal);
    }
  }

  private reload(): void {
    this.load().catch((error: unknown) => {
      this.problem.value = sentence(error);
    });
  }

  private hear(event: ServerEvent): void {
    this.lastId = event.id;
    if (event.name === "reset") {
      this.reload();
      return;
    }
    for (const kept of this.loading) kept.push(event);
    this.apply(event);
  }

  private apply(event: ServerEvent): void {
    const change = JSON.parse(event.data) as Record<string, unknown>;
    if (event.name === "analysis") {
      this.change(this.analysesById, change as unknown as Analysis, "analysis_id");
    } else if (event.name === "file") {
      this.change(this.filesById, change as unknown as StoredFile, "file_id");
    } else if (event.name === "status") {
      this.status.value = change as unknown as Status;
    }
  }

  private change<T extends object>(of: { value: Map<string, T> }, entry: T & { deleted?: boolean }, id: keyof T): void {
    if (entry.deleted) this.remove(of, String(entry[id]));
    else this.put(of, String(entry[id]), entry);
  }

  private remove<T>(of: { value: Map<string, T> }, id: string): void {
    const without = new Map(of.value);
    without.delete(id);
    of.value = without;
  }

  private put<T>(of: { value: Map<string, T> }, id: string, entry: T): void {
    of.value = new Map(of.value).set(id, entry);
  }

  private async pages<T>(path: string, id: (entry: T) => string): Promise<T[]> {
    const all: T[] = [];
    let after = "";
    for (;;) {
      const answer = await this.server.ask(`${path}?limit=${PAGE}${after}`);
      const page = (await answer.json()) as T[];
      all.push(...page);
      const last = page.at(-1);
      if (last === undefined || !(answer.headers.get("Link") ?? "").includes('rel="next"')) return all;
      after = `&after=${id(last)}`;
    }
  }
}

/**
 * Count the places in the queue anew: they move with those before them, of which alone the server tells.
 *
 * @param analyses The newest first; the oldest that waits is the next.
 */
function placed(analyses: Analysis[]): Analysis[] {
  let place = analyses.filter((each) => each.state === "queued").length;
  return analyses.map((each) => {
    if (each.state !== "queued") return each;
    const now = place--;
    return each.position === now ? each : { ...each, position: now };
  });
}

/** Return the page's store of a server, which panels with bundles of their own share. */
export function storeOf(server: Connection): Store {
  const page = globalThis as unknown as Record<symbol, Map<string, Store> | undefined>;
  const stores = (page[Symbol.for("dlc_jupyter.stores")] ??= new Map<string, Store>());
  let store = stores.get(server.key);
  if (!store) {
    store = new Store(server);
    stores.set(server.key, store);
  }
  return store;
}

/** Asked anew after every wait, which the compiler does not expect to change anything. */
function stopped(signal: AbortSignal): boolean {
  return signal.aborted;
}

function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done);
  });
}
