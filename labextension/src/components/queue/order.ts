/** In which order a queue is shown, and which of it. */

import type { Analysis, State, StoredFile } from "../../server/types";
import { found } from "../files/about";

const ORDER: Record<State, number> = { running: 0, queued: 1, failed: 2, succeeded: 2, cancelled: 2 };

export type Filter = "all" | "active" | "failed" | "succeeded";

/** Running first, then what waits, in the order of the queue, then what has ended, the newest first. */
export function inOrder(analyses: readonly Analysis[]): Analysis[] {
  return [...analyses].sort(
    (a, b) => ORDER[a.state] - ORDER[b.state] || (a.position ?? 0) - (b.position ?? 0) || newer(a, b),
  );
}

function newer(a: Analysis, b: Analysis): number {
  const [one, other] = [a.finished ?? a.created, b.finished ?? b.created];
  return one < other ? 1 : one > other ? -1 : 0;
}

/** Whether an analysis is to be shown: by its state, and by what was typed: a file's name, an analysis, a model, an id. */
export function matches(
  analysis: Analysis,
  filter: Filter,
  typed: string,
  file: (id: string) => StoredFile | undefined,
): boolean {
  if (filter === "active" && analysis.state !== "running" && analysis.state !== "queued") return false;
  if ((filter === "failed" || filter === "succeeded") && analysis.state !== filter) return false;
  const { model } = analysis.parameters;
  const about = [analysis.analysis, typeof model === "string" ? model : "", analysis.state];
  for (const id of analysis.file_id) about.push(file(id)?.filename ?? id);
  return found(typed, about, analysis.analysis_id);
}

/** The names of the files that go in, as one text. */
export function inputs(analysis: Analysis, file: (id: string) => StoredFile | undefined): string {
  return analysis.file_id.map((id) => file(id)?.filename ?? id.slice(0, 8)).join(", ");
}
