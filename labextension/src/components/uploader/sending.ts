/** Ways of a file to the server: in one resumable stream by HTTP, or in acknowledged pieces through the kernel. */

import { DetailedError, Upload } from "tus-js-client";
import type { Connection } from "../../server/connection";
import { Refusal, Unreachable } from "../../server/refusal";
import type { RefusalBody } from "../../server/types";
import { begin as announce, metadataOf } from "./tus";

export interface Sending {
  /** Resolves with the id of the stored file. @throws Refusal, Unreachable */
  readonly done: Promise<string>;
  /** Stop sending; what has arrived stays there, and `start` goes on behind it. */
  pause(): void;
  start(): void;
  /** Stop, and remove what has arrived. */
  discard(): Promise<void>;
}

export type Send = (file: File, digest: string | null, progress: (sent: number) => void) => Sending;

/** Milliseconds until a broken upload is tried again: for half an hour in all, then the user is asked. */
const RETRIES = [0, 1000, 3000, 5000, 10_000, ...Array<number>(60).fill(30_000)];

/**
 * Bytes in one request. A browser sends one anew, from its beginning, when the connection breaks before anything was
 * answered: so much is lost by that at most.
 */
const PIECE = 32 * 1024 * 1024;

/** Return the way by tus 1.0.0 (https://tus.io/protocols/resumable-upload). */
export function byHttp(server: Connection): Send {
  return (file, digest, progress) => {
    let upload: Upload | null = null;
    let stored: (fileId: string) => void = () => undefined;
    let failed: (error: unknown) => void = () => undefined;
    const done = new Promise<string>((resolve, reject) => {
      stored = resolve;
      failed = reject;
      upload = new Upload(file, {
        endpoint: server.address("upload"),
        chunkSize: PIECE,
        retryDelays: RETRIES,
        metadata: metadataOf(file, digest),
        removeFingerprintOnSuccess: true,
        fingerprint: (each) => Promise.resolve(fingerprint(each, server.key)),
        onBeforeRequest: (request) => {
          for (const [name, value] of Object.entries(server.headers())) request.setHeader(name, value);
        },
        onShouldRetry: (error) => {
          const status = error.originalResponse?.getStatus() ?? 0;
          return status === 0 || status === 409 || status === 423 || status >= 500;
        },
        onProgress: (sent) => {
          progress(sent);
        },
        onSuccess: ({ lastResponse }) => {
          const id = lastResponse.getHeader("Dlc-File-Id");
          if (id === undefined) reject(new Unreachable("The server did not say what became of the file."));
          else resolve(id);
        },
        onError: (error) => {
          reject(explained(error));
        },
      });
    });
    const begin = async (): Promise<void> => {
      if (digest !== null && upload?.url === null) {
        // tus-js-client sends the bytes whatever the server says: so it is asked first whether it has them.
        const { path, fileId } = await announce(server, file, digest);
        if (fileId !== null) {
          stored(fileId);
          return;
        }
        upload.url = server.address(path);
      }
      const [earlier] = (await upload?.findPreviousUploads()) ?? [];
      if (earlier) upload?.resumeFromPreviousUpload(earlier);
      upload?.start();
    };
    return {
      done,
      start: () => {
        begin().catch(failed);
      },
      pause: () => void upload?.abort(),
      discard: () => upload?.abort(true) ?? Promise.resolve(),
    };
  };
}

/** What tells one file of a user's disk from another without reading it. */
function fingerprint(file: File, server: string): string {
  return ["dlc_jupyter", server, file.name, file.size, file.lastModified].join(" ");
}

function explained(error: Error): Error {
  const answer = (error as Partial<DetailedError>).originalResponse;
  const text = answer?.getBody() ?? "";
  if (!answer || answer.getStatus() === 0) {
    return new Unreachable("The connection broke. Try again: what has arrived is not sent again.");
  }
  try {
    return new Refusal(answer.getStatus(), JSON.parse(text) as RefusalBody);
  } catch {
    return new Refusal(answer.getStatus(), {
      message: `The server answered ${answer.getStatus()} to the upload.`,
      reason: "http-error",
    });
  }
}
