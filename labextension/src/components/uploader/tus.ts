/** What is said to begin an upload by tus 1.0.0 (https://tus.io/protocols/resumable-upload), whichever way its bytes go. */

import type { Answer, Connection } from "../../server/connection";

export const TUS = { "Tus-Resumable": "1.0.0" };

/** What the server is told of a file; its SHA-1 only where a file of the same is there already, as far as one can tell. */
export function metadataOf(file: File, digest: string | null): Record<string, string> {
  return {
    filename: file.name,
    ...(file.type ? { filetype: file.type } : {}),
    ...(digest === null ? {} : { sha1: digest }),
  };
}

export interface Begun {
  /** `upload/<id>`. */
  path: string;
  /** The stored file's id, where its bytes are there already; null where they are to be sent. */
  fileId: string | null;
}

/** Begin an upload, without any of its bytes. @throws Refusal, Unreachable */
export async function begin(server: Connection, file: File, digest: string | null): Promise<Begun> {
  const pairs = Object.entries(metadataOf(file, digest)).map(([key, value]) => `${key} ${base64(value)}`);
  const answer: Answer = await server.ask("upload", {
    method: "POST",
    headers: { ...TUS, "Upload-Length": String(file.size), "Upload-Metadata": pairs.join(",") },
  });
  const id = answer.headers.get("Location")?.split("/").at(-1);
  if (!id) throw new Error("The server did not say where the upload goes.");
  return { path: `upload/${id}`, fileId: answer.headers.get("Dlc-File-Id") };
}

function base64(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}
