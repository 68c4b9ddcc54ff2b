import { useSignalEffect } from "@preact/signals";
import { Whole } from "../components/whole/whole";
import type { PanelProps } from "./mount";
import { usePlayerTraits } from "./player_traits";
import { uploadsBy } from "./uploads_of";
import { useTrait } from "./use_trait";

/** Everything, with the traits of all panels; the queue's `selected` and the result's `analysis_id` are one here. */
export function WholePanel({ store, model }: PanelProps) {
  const analysisId = useTrait<string>(model, "analysis_id");
  const selected = useTrait<string>(model, "selected");
  useSignalEffect(() => {
    if (analysisId.value !== selected.peek()) selected.value = analysisId.value;
  });
  useSignalEffect(() => {
    if (selected.value !== analysisId.peek()) analysisId.value = selected.value;
  });
  return (
    <Whole
      store={store}
      uploads={uploadsBy(store)}
      files={useTrait<string[]>(model, "files")}
      fileIds={useTrait<string[]>(model, "file_ids")}
      analysis={useTrait<string>(model, "analysis")}
      parameters={useTrait<Record<string, unknown>>(model, "parameters")}
      started={useTrait<string[]>(model, "analysis_ids")}
      analysisId={analysisId}
      player={usePlayerTraits(model)}
    />
  );
}
