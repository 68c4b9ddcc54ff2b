/** What people do with analyses and files, as one call each. */

import type { Store } from "./store";
import type { Analysis } from "./types";

/** Stop an analysis that is queued or running. @throws Refusal, Unreachable */
export async function cancel(store: Store, analysis: Analysis): Promise<void> {
  await store.server.ask(`analysis/${analysis.analysis_id}/cancel`, { method: "POST" });
  await store.refresh(analysis.analysis_id);
}

/** Ask for the same analysis anew, and return the id of the new one. @throws Refusal, Unreachable */
export async function retry(store: Store, analysis: Analysis): Promise<string> {
  const chosen = Object.entries(analysis.parameters).filter(([, value]) => value !== null);
  return launch(store, {
    ...Object.fromEntries(chosen),
    analysis: analysis.analysis,
    file_id: analysis.file_id,
    fresh: true,
  });
}

/** Ask for an analysis, and return its id. @throws Refusal, Unreachable */
export async function launch(store: Store, request: Record<string, unknown>): Promise<string> {
  const answer = await store.server.ask("analysis", { method: "POST", json: request });
  const { analysis_id: id } = (await answer.json()) as { analysis_id: string };
  await store.refresh(id);
  return id;
}

/** Forget a finished analysis, and what it made. @throws Refusal, Unreachable */
export async function forget(store: Store, analysis: Analysis): Promise<void> {
  await store.server.ask(`analysis/${analysis.analysis_id}`, { method: "DELETE" });
  store.drop("analysis", analysis.analysis_id);
}

/** Remove a stored file. @throws Refusal, Unreachable */
export async function removeFile(store: Store, fileId: string): Promise<void> {
  await store.server.ask(`file/${fileId}`, { method: "DELETE" });
  store.drop("file", fileId);
}
