/** What came of an analysis, fetched once it has ended. */

import { useEffect, useState } from "preact/hooks";
import { Refusal, sentence } from "../../server/refusal";
import type { Store } from "../../server/store";
import type { Analysis, Failure, Result } from "../../server/types";

export interface Outcome {
  result: Result | null;
  failure: Failure | null;
  /** Why it cannot be said, in a sentence. */
  problem: string;
}

const NOTHING: Outcome = { result: null, failure: null, problem: "" };

/** Return the outcome of an analysis; all null while it has none, or while it is on its way. */
export function useOutcome(store: Store, analysis: Analysis | undefined): Outcome {
  const id = analysis?.analysis_id;
  const ended = analysis?.state === "succeeded" || analysis?.state === "failed";
  const key = ended && id !== undefined ? `${id} ${analysis.state} ${analysis.attempt}` : "";
  const [known, setKnown] = useState<{ key: string; outcome: Outcome }>({ key: "", outcome: NOTHING });
  useEffect(() => {
    if (!key || id === undefined) return;
    let gone = false;
    void outcomeOf(store, id).then((outcome) => {
      if (!gone) setKnown({ key, outcome });
    });
    return () => {
      gone = true;
    };
  }, [store, key, id]);
  return known.key === key ? known.outcome : NOTHING;
}

/** Ask for what came of an analysis that has ended. */
export async function outcomeOf(store: Store, id: string): Promise<Outcome> {
  try {
    return { ...NOTHING, result: await store.json<Result>(`analysis/${id}`) };
  } catch (error) {
    if (error instanceof Refusal && error.body.error) return { ...NOTHING, failure: error.body.error };
    return { ...NOTHING, problem: sentence(error) };
  }
}
