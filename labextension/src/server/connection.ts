/** How a page reaches the server: by HTTP where it is of the same origin, and otherwise through the notebook's kernel. */

import { Refusal, Unreachable } from "./refusal";
import type { RefusalBody } from "./types";

export interface Request {
  method?: "GET" | "POST" | "PATCH" | "DELETE" | "HEAD";
  /** Sent as JSON. */
  json?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** An answer that is no refusal. */
export interface Answer {
  status: number;
  headers: { get(name: string): string | null };
  bytes(): Promise<ArrayBuffer>;
  json(): Promise<unknown>;
  text(): Promise<string>;
  /** The body as it comes; null where the way to the server knows only whole bodies. */
  readonly stream: ReadableStream<Uint8Array<ArrayBuffer>> | null;
}

/** A way to the server. Paths are relative to `…/dlc/`: `analysis/<id>/status`. */
export interface Connection {
  /** What tells one server from another. */
  readonly key: string;
  /** Whether media elements, downloads and resumable uploads can go there by address. */
  readonly direct: boolean;
  /** Send a request. @throws Refusal, Unreachable */
  ask(path: string, request?: Request): Promise<Answer>;
  /** The address of a path for `<video>`, `<a download>` and uploads; only where the connection is direct. */
  address(path: string): string;
  /** The headers with which requests to such addresses prove who asks. */
  headers(): Record<string, string>;
}

interface PageConfig {
  baseUrl?: string;
  token?: string;
}

/** Return where Jupyter's page says its server is: JupyterLab and Notebook 7, then nbclassic; null elsewhere. */
export function pageConfig(page: Document = document): { base: string; token: string } | null {
  const text = page.getElementById("jupyter-config-data")?.textContent;
  let config: PageConfig = {};
  try {
    config = text ? (JSON.parse(text) as PageConfig) : {};
  } catch {
    // not Jupyter's
  }
  const attributes = page.body.dataset;
  const base = config.baseUrl ?? attributes.baseUrl;
  const token = [config.token, attributes.jupyterApiToken].find((each) => each) ?? "";
  return base === undefined ? null : { base, token };
}

/** Requests by HTTP, as whoever the page belongs to: by its token, its cookie, or both. */
export class HttpConnection implements Connection {
  readonly direct = true;
  readonly key: string;
  private readonly base: string;

  /**
   * @param base Address of the Jupyter server: path, or whole.
   * @param token Its token, where the page knows it.
   */
  constructor(
    base: string,
    private readonly token = "",
  ) {
    this.base = new URL(`${base.replace(/\/*$/, "")}/dlc/`, location.href).href;
    this.key = this.base;
  }

  address(path: string): string {
    return this.base + path;
  }

  headers(): Record<string, string> {
    const xsrf = /(?:^|; )_xsrf=([^;]*)/.exec(document.cookie)?.[1];
    return {
      ...(xsrf === undefined ? {} : { "X-XSRFToken": decodeURIComponent(xsrf) }),
      ...(this.token ? { Authorization: `token ${this.token}` } : {}),
    };
  }

  async ask(path: string, request: Request = {}): Promise<Answer> {
    const body = request.json === undefined ? {} : { body: JSON.stringify(request.json) };
    const type = request.json === undefined ? {} : { "Content-Type": "application/json" };
    let answer: Response;
    try {
      answer = await fetch(this.address(path), {
        method: request.method ?? "GET",
        headers: { Accept: "application/json", ...this.headers(), ...type, ...request.headers },
        credentials: "same-origin",
        ...body,
        ...(request.signal ? { signal: request.signal } : {}),
      });
    } catch (error) {
      if (request.signal?.aborted) throw error;
      throw new Unreachable("The server does not answer. Is it running, and is the network there?");
    }
    if (answer.status >= 300) throw new Refusal(answer.status, await refusalBody(answer));
    return {
      status: answer.status,
      headers: answer.headers,
      bytes: () => answer.arrayBuffer(),
      json: () => answer.json() as Promise<unknown>,
      text: () => answer.text(),
      stream: answer.body,
    };
  }
}

async function refusalBody(answer: Response): Promise<RefusalBody> {
  try {
    const body = (await answer.json()) as Partial<RefusalBody>;
    if (typeof body.message === "string") return { reason: "http-error", ...body, message: body.message };
  } catch {
    // what answers is not dlc_jupyter
  }
  return {
    message: `The server answered ${answer.status} ${answer.statusText}. Is dlc_jupyter installed and enabled there?`,
    reason: "http-error",
  };
}
