import type { RefusalBody } from "./types";

/** The server's refusal of a request: its `message` is for people, `reason` and `status` are for programs. */
export class Refusal extends Error {
  readonly status: number;
  readonly body: RefusalBody;

  constructor(status: number, body: RefusalBody) {
    super(body.message);
    this.name = "Refusal";
    this.status = status;
    this.body = body;
  }

  get reason(): string {
    return this.body.reason;
  }

  /** What is wrong with each parameter, by its name. */
  get fields(): Map<string, string> {
    return new Map((this.body.errors ?? []).map((each) => [each.field, each.message]));
  }
}

/** No server answered: it is not there, or the connection broke. */
export class Unreachable extends Error {
  constructor(message: string) {
    super(message);
    this.name = "Unreachable";
  }
}

/** Return what is to be shown of anything that was thrown. */
export function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
