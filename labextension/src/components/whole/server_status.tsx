import { useEffect } from "preact/hooks";
import type { Store } from "../../server/store";
import { Notice } from "../parts/notice";
import { bytes, plural } from "../parts/wording";

/** Milliseconds between two looks. */
const LOOK = 10_000;

/** Whether somebody works on the queue, and how much room there is; a sentence where something is wrong. */
export function ServerStatus({ store }: { store: Store }) {
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) store.look().catch(() => undefined); // the queue says what is wrong
    }, LOOK);
    return () => {
      clearInterval(timer);
    };
  }, [store]);
  const status = store.status.value;
  if (!status) return null;
  const { worker, queue, disk } = status;
  if (!worker.alive) return <Notice kind="warning">{worker.message ?? "No worker is running."}</Notice>;
  const active = queue.running + queue.queued;
  return (
    <span class="dlc-faint dlc-status" role="status">
      {active > 0 ? `${plural(active, "analysis", "analyses")} to do` : ready(status.engine)} · {bytes(disk.free)} free
    </span>
  );
}

function ready(engine: Record<string, unknown> | null): string {
  return engine?.state === "ready" ? "ready" : "DeepLabCut is being loaded";
}
