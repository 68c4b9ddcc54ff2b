/** Requests through the notebook's kernel, where the page cannot reach the server: slower, but everywhere. */

import type { AnyModel } from "@anywidget/types";
import type { PieceConnection } from "../components/uploader/by_kernel";
import type { Answer, Request } from "../server/connection";
import { Refusal, Unreachable } from "../server/refusal";
import type { RefusalBody } from "../server/types";

interface Reply {
  kind: string;
  id: number;
  status: number;
  headers: Record<string, string>;
}

/** Milliseconds after which a kernel is taken for gone; it answers only between two cells. */
const PATIENCE = 120_000;

export class KernelConnection implements PieceConnection {
  readonly direct = false;
  readonly key: string;
  private number = 0;
  private readonly waiting = new Map<number, (reply: Reply, body: ArrayBuffer) => void>();

  constructor(
    private readonly model: AnyModel,
    private readonly patience = PATIENCE,
  ) {
    this.key = `kernel ${String(model.get("_model_module_version") ?? "")} ${Math.random()}`;
    model.on("msg:custom", (message: unknown, buffers: DataView[]) => {
      const reply = message as Reply;
      if (reply.kind !== "answer") return;
      const [body] = buffers;
      this.waiting.get(reply.id)?.(reply, body ? bytesOf(body) : new ArrayBuffer(0));
      this.waiting.delete(reply.id);
    });
  }

  address(): string {
    throw new Unreachable("The page cannot reach the server itself, only through the notebook's kernel.");
  }

  headers(): Record<string, string> {
    return {};
  }

  ask(path: string, request: Request = {}): Promise<Answer> {
    const { method = "GET", json = null, headers = {} } = request;
    return this.send({ kind: "ask", path, method, json, headers }, []);
  }

  piece(path: string, headers: Record<string, string>, bytes: ArrayBuffer): Promise<Answer> {
    return this.send({ kind: "piece", path, method: "PATCH", headers }, [bytes]);
  }

  /** Send a message with bytes, and wait for what the kernel answers. @throws Refusal, Unreachable */
  private send(message: Record<string, unknown>, buffers: ArrayBuffer[]): Promise<Answer> {
    const id = ++this.number;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.delete(id);
        reject(new Unreachable("The notebook's kernel does not answer. Is it busy with a cell, or was it restarted?"));
      }, this.patience);
      this.waiting.set(id, (reply, body) => {
        clearTimeout(timer);
        const text = (): string => new TextDecoder().decode(body);
        if (reply.status >= 300) {
          reject(new Refusal(reply.status, JSON.parse(text()) as RefusalBody));
          return;
        }
        resolve({
          status: reply.status,
          headers: { get: (name) => reply.headers[name.toLowerCase()] ?? null },
          bytes: () => Promise.resolve(body),
          text: () => Promise.resolve(text()),
          json: () => Promise.resolve(JSON.parse(text()) as unknown),
          stream: null,
        });
      });
      this.model.send({ ...message, id }, undefined, buffers);
    });
  }
}

function bytesOf(view: DataView): ArrayBuffer {
  return (view.buffer as ArrayBuffer).slice(view.byteOffset, view.byteOffset + view.byteLength);
}
