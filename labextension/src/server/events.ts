/** Server-sent events read from a request of our own: `EventSource` sends no headers, which JupyterHub wants. */

import type { Connection } from "./connection";

export interface ServerEvent {
  /** Its number, with which to go on after a break. */
  id: string;
  name: string;
  data: string;
}

/** Split a stream of text into events (https://html.spec.whatwg.org/multipage/server-sent-events.html). */
export class EventParser {
  private rest = "";
  private id = "";
  private name = "";
  private data: string[] = [];

  constructor(private readonly emit: (event: ServerEvent) => void) {}

  feed(text: string): void {
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop() ?? "";
    for (const line of lines) this.line(line.endsWith("\r") ? line.slice(0, -1) : line);
  }

  private line(line: string): void {
    if (line === "") {
      if (this.data.length > 0) this.emit({ id: this.id, name: this.name || "message", data: this.data.join("\n") });
      this.name = "";
      this.data = [];
      return;
    }
    const [field = "", value = ""] = /^([^:]*):? ?(.*)$/s.exec(line)?.slice(1) ?? [];
    if (field === "id") this.id = value;
    else if (field === "event") this.name = value;
    else if (field === "data") this.data.push(value);
  }
}

/**
 * Follow `GET events` from `lastId` on, until `signal` aborts or the connection ends.
 *
 * @param opened Called when the server has begun to send: what changes from now on is not missed.
 * @returns false where the way to the server knows no streams.
 * @throws Refusal, Unreachable
 */
export async function follow(
  server: Connection,
  lastId: string,
  signal: AbortSignal,
  opened: () => void,
  emit: (event: ServerEvent) => void,
): Promise<boolean> {
  if (!server.direct) return false;
  const answer = await server.ask("events", {
    headers: { Accept: "text/event-stream", ...(lastId ? { "Last-Event-ID": lastId } : {}) },
    signal,
  });
  if (!answer.stream) return false;
  opened();
  const reader = answer.stream.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventParser(emit);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return true;
    parser.feed(value);
  }
}
