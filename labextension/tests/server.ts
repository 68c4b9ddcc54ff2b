/** A server of a test's own making: what it answers by path, and what it was asked. */

import type { Answer, Connection, Request } from "../src/server/connection";
import { Refusal } from "../src/server/refusal";

export class FakeServer implements Connection {
  readonly key = `test ${Math.random()}`;
  readonly asked: { path: string; request: Request }[] = [];
  /** What is sent to whoever follows `events`; null: the server knows none. */
  events: ReadableStream<Uint8Array<ArrayBuffer>> | null = null;

  constructor(
    private readonly answers: Record<string, unknown>,
    readonly direct = true,
  ) {}

  address(path: string): string {
    return `http://server/dlc/${path}`;
  }

  headers(): Record<string, string> {
    return {};
  }

  set(path: string, value: unknown): void {
    this.answers[path] = value;
  }

  private readonly held = new Map<string, Promise<void>>();

  /** Answer a path only when the function that is returned is called, with what there was to say before. */
  hold(path: string): () => void {
    let arrive = (): void => undefined;
    this.held.set(
      path,
      new Promise((resolve) => {
        arrive = resolve;
      }),
    );
    return arrive;
  }

  ask(path: string, request: Request = {}): Promise<Answer> {
    this.asked.push({ path, request });
    if (path === "events" && this.events) return Promise.resolve(answer(null, this.events));
    const found = this.answers[path] ?? this.answers[path.split("?")[0] ?? ""];
    if (found === undefined) return Promise.reject(new Refusal(404, { message: "There is nothing.", reason: "none" }));
    if (found instanceof Error) return Promise.reject(found);
    const held = this.held.get(path.split("?")[0] ?? "") ?? Promise.resolve();
    return held.then(() => answer(found, null));
  }
}

function answer(value: unknown, stream: Answer["stream"]): Answer {
  const text = JSON.stringify(value);
  return {
    status: 200,
    headers: { get: () => null },
    bytes: () => Promise.resolve(new TextEncoder().encode(text).buffer),
    json: () => Promise.resolve(JSON.parse(text) as unknown),
    text: () => Promise.resolve(text),
    stream,
  };
}

/** An empty server: no files, no analyses. */
export function empty(more: Record<string, unknown> = {}, direct = true): FakeServer {
  return new FakeServer({ analysis: [], file: [], model: [], schema: {}, status: {}, ...more }, direct);
}
