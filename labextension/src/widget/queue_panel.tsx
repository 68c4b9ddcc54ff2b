import { useEffect, useMemo } from "preact/hooks";
import { Queue } from "../components/queue/queue";
import type { PanelProps } from "./mount";
import { trait } from "./traits";

/** The queue, and which analysis of it is selected. */
export function QueuePanel({ store, model }: PanelProps) {
  const selected = useMemo(() => trait<string>(model, "selected"), [model]);
  useEffect(() => selected.stop, [selected]);
  return <Queue store={store} selected={selected.signal} />;
}
