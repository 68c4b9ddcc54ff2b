import { Result } from "../components/results/result";
import type { PanelProps } from "./mount";
import { useTrait } from "./use_trait";

/** What came of the analysis `analysis_id`. */
export function ResultPanel({ store, model }: PanelProps) {
  return <Result store={store} analysisId={useTrait<string>(model, "analysis_id")} />;
}
