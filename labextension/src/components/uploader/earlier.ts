/** Uploads that were begun and not finished, as the server and this browser know them. */

import type { Store } from "../../server/store";
import type { Unfinished } from "../../server/types";
import { TUS } from "./tus";

export interface Earlier extends Unfinished {
  /** Whether it was begun in this browser, which knows the file again and goes on when it is chosen. */
  ours: boolean;
}

/** Return the caller's unfinished uploads; none where the server has no resumable ones. */
export async function earlierUploads(store: Store): Promise<Earlier[]> {
  const here = resumable();
  const found = await store.json<Unfinished[]>("upload");
  return found.map((each) => ({ ...each, ours: here.has(each.upload_id) }));
}

/** Give an unfinished upload up: what has arrived of it goes. @throws Refusal, Unreachable */
export async function discard(store: Store, upload: Unfinished): Promise<void> {
  await store.server.ask(`upload/${upload.upload_id}`, { method: "DELETE", headers: TUS });
}

/** The ids of the uploads that tus-js-client could go on with: it keeps their addresses in the browser. */
function resumable(): Set<string> {
  const ids = new Set<string>();
  try {
    for (let at = 0; at < localStorage.length; at += 1) {
      const key = localStorage.key(at);
      if (!key?.startsWith("tus::dlc_jupyter ")) continue;
      const { uploadUrl } = JSON.parse(localStorage.getItem(key) ?? "{}") as { uploadUrl?: string };
      const id = uploadUrl?.split("/").at(-1);
      if (id) ids.add(id);
    }
  } catch {
    // A page that may keep nothing knows nothing of earlier uploads.
  }
  return ids;
}
