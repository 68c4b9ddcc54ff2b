import { useEffect, useRef, useState } from "preact/hooks";
import { sentence } from "../../server/refusal";
import type { Store } from "../../server/store";
import type { Analysis } from "../../server/types";

/** Bytes of a log's end that are shown; the whole is a link. */
const TAIL = 40_000;
/** Milliseconds between two looks while it grows. */
const LOOK = 2000;

/** What the engine has printed, folded until it is asked for. */
export function Log({ store, analysis }: { store: Store; analysis: Analysis }) {
  const [open, setOpen] = useState(false);
  const [text, setText] = useState<string | null>(null);
  const [problem, setProblem] = useState("");
  const box = useRef<HTMLPreElement>(null);
  const grows = analysis.state === "running";
  const path = `analysis/${analysis.analysis_id}/log`;
  useEffect(() => {
    if (!open) return;
    let gone = false;
    const look = async (): Promise<void> => {
      try {
        const found = await (await store.server.ask(`${path}?tail=${TAIL}`)).text();
        if (!gone) setText(found);
      } catch (error) {
        if (!gone) setProblem(sentence(error));
      }
    };
    void look();
    const timer = grows ? setInterval(() => void look(), LOOK) : undefined;
    return () => {
      gone = true;
      clearInterval(timer);
    };
  }, [store, path, open, grows, analysis.attempt]);
  useEffect(() => {
    // The end is what tells most.
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [text]);
  return (
    <details
      class="dlc-fold"
      open={open}
      onToggle={(event) => {
        setOpen(event.currentTarget.open);
      }}
    >
      <summary>Log</summary>
      {problem && <p class="dlc-bad">{problem}</p>}
      {text !== null && (
        <pre ref={box} class="dlc-log" tabIndex={0} aria-label="Log">
          {text || "Nothing was printed."}
        </pre>
      )}
      {store.server.direct && (
        <a class="dlc-help" href={store.server.address(path)} target="_blank" rel="noreferrer">
          All of it
        </a>
      )}
    </details>
  );
}
