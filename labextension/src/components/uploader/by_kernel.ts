/** The slow way of a file to the server: in acknowledged pieces through the notebook's kernel. */

import type { Answer, Connection } from "../../server/connection";
import { Refusal, Unreachable } from "../../server/refusal";
import type { Send, Sending } from "./sending";
import { begin, TUS } from "./tus";

/** A way to the server that takes bytes. */
export interface PieceConnection extends Connection {
  /** Send a request with bytes. @throws Refusal, Unreachable */
  piece(path: string, headers: Record<string, string>, bytes: ArrayBuffer): Promise<Answer>;
}

/** Bytes in one message: kernels refuse those above 10 MiB. */
const PIECE = 4 * 1024 * 1024;
/** Milliseconds until a piece that got lost is sent again. */
const RETRIES = [1000, 3000, 10_000, 30_000];

/** Return the way through the kernel. It speaks tus as the way by HTTP does; only the carrier is another. */
export function byKernel(server: PieceConnection, retries: readonly number[] = RETRIES): Send {
  return (file, digest, progress) => new Relay(server, file, digest, progress, retries);
}

class Relay implements Sending {
  readonly done: Promise<string>;
  private resolve: (fileId: string) => void = () => undefined;
  private reject: (error: unknown) => void = () => undefined;
  private path = "";
  private offset = 0;
  /** Which run is the one that sends; a pause, and a start after it, make another. */
  private run = 0;
  /** The end of the run before: two never send at a time. */
  private last: Promise<void> = Promise.resolve();

  constructor(
    private readonly server: PieceConnection,
    private readonly file: File,
    private readonly digest: string | null,
    private readonly progress: (sent: number) => void,
    private readonly retries: readonly number[],
  ) {
    this.done = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  start(): void {
    const run = ++this.run;
    this.last = this.last.then(() => this.send(run)).catch(this.reject);
  }

  pause(): void {
    this.run += 1;
  }

  async discard(): Promise<void> {
    this.run += 1;
    await this.last;
    if (this.path) await this.server.ask(this.path, { method: "DELETE", headers: TUS });
  }

  private async send(run: number): Promise<void> {
    let failures = 0;
    while (run === this.run) {
      try {
        const fileId = this.path ? await this.next() : await this.begin();
        failures = 0;
        this.progress(this.offset);
        if (fileId !== null) {
          this.resolve(fileId);
          return;
        }
      } catch (error) {
        const wait = this.retries[failures++];
        if (wait === undefined || !passing(error)) throw error;
        await new Promise((resolve) => setTimeout(resolve, wait));
        if (this.path) await this.look();
      }
    }
  }

  private async begin(): Promise<string | null> {
    const { path, fileId } = await begin(this.server, this.file, this.digest);
    this.path = path;
    return fileId;
  }

  /** Send the next piece, and return the file's id if it was the last one. */
  private async next(): Promise<string | null> {
    const bytes = await this.file.slice(this.offset, this.offset + PIECE).arrayBuffer();
    const headers = {
      ...TUS,
      "Upload-Offset": String(this.offset),
      "Content-Type": "application/offset+octet-stream",
    };
    const answer = await this.server.piece(this.path, headers, bytes);
    this.offset = Number(answer.headers.get("Upload-Offset") ?? this.offset);
    return answer.headers.get("Dlc-File-Id");
  }

  /** Ask how much has arrived: after a failure nobody here knows. */
  private async look(): Promise<void> {
    try {
      const answer = await this.server.ask(this.path, { method: "HEAD", headers: TUS });
      this.offset = Number(answer.headers.get("Upload-Offset") ?? this.offset);
    } catch (error) {
      if (!passing(error)) throw error;
    }
  }
}

/** Whether it may go better another time. */
function passing(error: unknown): boolean {
  if (error instanceof Unreachable) return true;
  return error instanceof Refusal && (error.status === 409 || error.status === 423 || error.status >= 500);
}
