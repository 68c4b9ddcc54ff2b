import { Whole } from "../components/whole/whole";
import type { PanelProps } from "./mount";
import { uploadsBy } from "./uploads_of";
import { useTrait } from "./use_trait";

/** Everything; `file_ids` are the videos that are chosen, `analysis_id` the analysis that is looked at. */
export function WholePanel({ store, model }: PanelProps) {
  const fileIds = useTrait<string[]>(model, "file_ids");
  const analysisId = useTrait<string>(model, "analysis_id");
  return <Whole store={store} uploads={uploadsBy(store)} fileIds={fileIds} analysisId={analysisId} />;
}
