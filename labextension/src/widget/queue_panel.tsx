import { Queue } from "../components/queue/queue";
import type { PanelProps } from "./mount";
import { useTrait } from "./use_trait";

/** The queue, and which analysis of it is selected. */
export function QueuePanel({ store, model }: PanelProps) {
  return <Queue store={store} selected={useTrait<string>(model, "selected")} />;
}
