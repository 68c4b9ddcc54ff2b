import { Launch } from "../components/launch/launch";
import type { PanelProps } from "./mount";
import { useTrait } from "./use_trait";

/** The form; `analysis_ids` are those that were started with it last. */
export function LaunchPanel({ store, model }: PanelProps) {
  const analysis = useTrait<string>(model, "analysis");
  const fileIds = useTrait<string[]>(model, "file_ids");
  const parameters = useTrait<Record<string, unknown>>(model, "parameters");
  const started = useTrait<string[]>(model, "analysis_ids");
  return (
    <Launch
      store={store}
      analysis={analysis}
      fileIds={fileIds}
      parameters={parameters}
      started={(ids) => {
        started.value = ids;
      }}
    />
  );
}
