/** The analyses of a server: what runs and how far it has come, what waits, and what came of the rest. */

import { useComputed, useSignal, type Signal } from "@preact/signals";
import { cancel, forget, retry } from "../../server/actions";
import { sentence } from "../../server/refusal";
import type { Store } from "../../server/store";
import type { Analysis } from "../../server/types";
import { Button } from "../parts/button";
import { Notice } from "../parts/notice";
import { ProgressBar } from "../parts/progress_bar";
import { SearchField, Segments } from "../parts/search";
import { VirtualList } from "../parts/virtual_list";
import { ago, count, duration, plural } from "../parts/wording";
import { inOrder, inputs, matches, type Filter } from "./order";

const ROW = 58;
const FILTERS: [Filter, string][] = [
  ["all", "All"],
  ["active", "Active"],
  ["failed", "Failed"],
  ["succeeded", "Succeeded"],
];

export function Queue(props: {
  store: Store;
  /** The analysis that is looked at; "" for none. */
  selected: Signal<string>;
  /** Called when somebody has selected one. */
  opened?: () => void;
  /** Pixels. */
  height?: number | undefined;
}) {
  const { store, selected } = props;
  const filter = useSignal<Filter>("all");
  const typed = useSignal("");
  const problem = useSignal("");
  const shown = useComputed(() =>
    inOrder(store.analyses.value.filter((each) => matches(each, filter.value, typed.value, (id) => store.file(id)))),
  );
  const act = (work: Promise<unknown>): void => {
    problem.value = "";
    work.catch((error: unknown) => {
      problem.value = sentence(error);
    });
  };
  return (
    <section class="dlc-queue" aria-label="Analyses">
      <div class="dlc-toolbar">
        <SearchField typed={typed} placeholder="Search …" label="Search analyses" />
        <Segments chosen={filter} options={FILTERS} label="Which analyses" />
        <Hearing store={store} />
      </div>
      {problem.value && <Notice kind="error">{problem.value}</Notice>}
      {shown.value.length > 0 ? (
        <VirtualList
          items={shown.value}
          rowHeight={ROW}
          height={props.height ?? 6 * ROW}
          label={plural(shown.value.length, "analysis", "analyses")}
          keyOf={(each) => each.analysis_id}
        >
          {(each) => (
            <Row
              analysis={each}
              files={inputs(each, (id) => store.file(id))}
              selected={selected.value === each.analysis_id}
              select={() => {
                selected.value = each.analysis_id;
                props.opened?.();
              }}
              cancel={() => {
                act(cancel(store, each));
              }}
              retry={() => {
                act(
                  retry(store, each).then((id) => {
                    selected.value = id;
                  }),
                );
              }}
              forget={() => {
                act(forget(store, each));
              }}
            />
          )}
        </VirtualList>
      ) : (
        <p class="dlc-empty">{emptiness(store, filter.value, typed.value)}</p>
      )}
    </section>
  );
}

function emptiness(store: Store, filter: Filter, typed: string): string {
  if (!store.loaded.value) return "Loading …";
  if (store.analyses.value.length === 0) return "No analysis yet: choose a video and what to do with it, and start it.";
  return typed || filter !== "all" ? "No analysis is like that." : "";
}

/** Whether changes are heard of at once; said only where they are not. */
function Hearing({ store }: { store: Store }) {
  const how = store.hearing.value;
  if (store.problem.value !== null && how === "nothing") {
    return (
      <span class="dlc-hearing dlc-bad" role="alert">
        {store.problem.value}
      </span>
    );
  }
  return how === "polling" ? <span class="dlc-hearing dlc-faint">updated every second</span> : null;
}

function Row(props: {
  analysis: Analysis;
  files: string;
  selected: boolean;
  select: () => void;
  cancel: () => void;
  retry: () => void;
  forget: () => void;
}) {
  const { analysis } = props;
  const model = analysis.parameters.model;
  const active = analysis.state === "running" || analysis.state === "queued";
  return (
    <div class={`dlc-analysis dlc-${analysis.state}${props.selected ? " dlc-selected" : ""}`}>
      <button type="button" class="dlc-analysis-main" aria-pressed={props.selected} onClick={props.select}>
        <span class="dlc-analysis-title">
          <span class="dlc-state" aria-hidden="true" />
          <b>{analysis.analysis}</b> {props.files}
        </span>
        <span class="dlc-faint dlc-analysis-more">
          {typeof model === "string" && model ? `${model} · ` : ""}
          {standing(analysis)}
          {analysis.state === "failed" && !props.selected && ": select it to see why"}
        </span>
        {analysis.state === "running" && (
          <ProgressBar value={fraction(analysis)} label={`Progress of ${analysis.analysis} of ${props.files}`} />
        )}
      </button>
      <span class="dlc-analysis-actions">
        {active && (
          <Button kind="quiet" label={`Cancel ${analysis.analysis} of ${props.files}`} onClick={props.cancel}>
            Cancel
          </Button>
        )}
        {!active && analysis.state !== "succeeded" && (
          <Button kind="quiet" label={`Run ${analysis.analysis} of ${props.files} again`} onClick={props.retry}>
            Try again
          </Button>
        )}
        {!active && (
          <Button kind="quiet" label={`Remove ${analysis.analysis} of ${props.files}`} onClick={props.forget}>
            Remove
          </Button>
        )}
      </span>
    </div>
  );
}

/** How far a running analysis has come, from 0 to 1; null where it cannot say. */
export function fraction({ progress }: Analysis): number | null {
  return progress?.total ? progress.done / progress.total : null;
}

/** Where an analysis stands, in a few words. */
export function standing(analysis: Analysis, now = Date.now()): string {
  switch (analysis.state) {
    case "queued":
      return analysis.position === null
        ? "waits"
        : analysis.position === 1
          ? "next"
          : `${analysis.position - 1} before it`;
    case "running":
      return running(analysis);
    case "succeeded":
      return `done ${ago(analysis.finished ?? analysis.created, now)}${took(analysis)}`;
    case "failed":
      return `failed ${ago(analysis.finished ?? analysis.created, now)}`;
    case "cancelled":
      return `cancelled ${ago(analysis.finished ?? analysis.created, now)}`;
  }
}

function running({ progress }: Analysis): string {
  if (!progress) return "starting …";
  const { done, total, unit, rate, eta } = progress;
  const parts = [total ? `${count(done)} of ${count(total)} ${unit}` : `${count(done)} ${unit}`];
  if (rate) parts.push(`${rate < 10 ? rate.toFixed(1) : count(rate)} ${unit}/s`);
  if (eta !== undefined && eta !== null) parts.push(`${duration(eta)} left`);
  return parts.join(" · ");
}

function took({ started, finished }: Analysis): string {
  if (started === null || finished === null) return "";
  return `, took ${duration((Date.parse(finished) - Date.parse(started)) / 1000)}`;
}
