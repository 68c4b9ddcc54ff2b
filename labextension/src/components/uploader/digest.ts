/** The SHA-1 of a file, a piece at a time, so that a file of any size takes no more memory than a piece. */

import { createSHA1 } from "hash-wasm";

const PIECE = 8 * 1024 * 1024;

/**
 * Return the SHA-1 of a file in hexadecimal.
 *
 * @param progress Called with the bytes done.
 * @param signal Ends it: the promise is rejected then.
 */
export async function sha1(file: Blob, progress: (done: number) => void, signal: AbortSignal): Promise<string> {
  const hasher = await createSHA1();
  for (let at = 0; at < file.size; at += PIECE) {
    signal.throwIfAborted();
    hasher.update(new Uint8Array(await file.slice(at, at + PIECE).arrayBuffer()));
    progress(Math.min(at + PIECE, file.size));
  }
  return hasher.digest("hex");
}
