/** A form for any analysis, made of its schema: choose files, say what to do with them, start. */

import { useSignal, type Signal } from "@preact/signals";
import { launch } from "../../server/actions";
import { Refusal, sentence } from "../../server/refusal";
import type { Store } from "../../server/store";
import type { AnalysisDescription, Model } from "../../server/types";
import { Button } from "../parts/button";
import { Notice } from "../parts/notice";
import { plural } from "../parts/wording";
import { ChosenFiles } from "./chosen_files";
import { FieldRow } from "./field_row";
import { fieldsOf, labelOf, Mistyped, valueOf, type Field } from "./fields";

export interface LaunchProps {
  store: Store;
  /** The name of the analysis. */
  analysis: Signal<string>;
  /** The files that go in, in their order. */
  fileIds: Signal<string[]>;
  /** What was set, by parameter; what is not in it has its default. */
  parameters: Signal<Record<string, unknown>>;
  /** Whether videos can be chosen in the form itself; otherwise something beside it chooses them. */
  offer?: boolean;
  /** Called with the ids of what was started. */
  started: (analysisIds: string[]) => void;
}

export function Launch(props: LaunchProps) {
  const { store, analysis, fileIds, parameters } = props;
  const schema = store.schema.value;
  const errors = useSignal(new Map<string, string>());
  const problem = useSignal("");
  const done = useSignal("");
  const busy = useSignal(false);
  const more = useSignal(false);
  const description = schema?.[analysis.value];
  if (!schema || !store.loaded.value) return <p class="dlc-faint">Loading …</p>;

  const choose = (name: string): void => {
    analysis.value = name;
    errors.value = new Map();
    problem.value = done.value = "";
  };
  const submit = async (): Promise<void> => {
    if (!description) return;
    problem.value = done.value = "";
    const asked = gather(description, analysis.value, parameters.value, store.models.value ?? []);
    errors.value = asked.errors;
    if (asked.errors.size > 0) return;
    busy.value = true;
    try {
      const ids = await startAll(store, analysis.value, description, fileIds.value, asked.values);
      done.value = `${plural(ids.length, "analysis", "analyses")} started.`;
      props.started(ids);
    } catch (error) {
      if (error instanceof Refusal && error.fields.size > 0) errors.value = error.fields;
      const told =
        error instanceof Refusal &&
        [...error.fields.keys()].some((name) => name in (description.parameters.properties ?? {}));
      problem.value = told ? "" : sentence(error);
    } finally {
      busy.value = false;
    }
  };
  const models = modelsFor(description, store.models.value ?? []);
  const model = modelOf(parameters.value.model, models);
  const fields = description ? fieldsOf(analysis.value, description.parameters) : { usual: [], more: [] };
  const wrongBelow = fields.more.some((each) => errors.value.has(each.name));
  const row = (field: Field) => (
    <FieldRow
      key={`${analysis.value}.${field.name}`}
      field={field}
      value={parameters.value[field.name]}
      models={models}
      bodyparts={model?.bodyparts ?? []}
      error={errors.value.get(field.name) ?? ""}
      change={(text) => {
        parameters.value = { ...parameters.value, [field.name]: text };
      }}
    />
  );
  return (
    <form
      class="dlc-launch"
      noValidate
      onKeyDown={(event) => {
        // A browser would do so itself, but for JupyterLab, in which Enter does nothing.
        if (event.key !== "Enter" || !(event.target instanceof HTMLInputElement) || busy.value) return;
        event.preventDefault();
        void submit();
      }}
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <label class="dlc-field">
        <span class="dlc-label">What to do</span>
        <select
          class="dlc-input"
          value={analysis.value}
          onChange={(event) => {
            choose(event.currentTarget.value);
          }}
        >
          {Object.keys(schema).map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
        <span class="dlc-help">{description?.summary}</span>
      </label>
      {description && description.inputs.at_most !== 0 && (
        <ChosenFiles
          store={store}
          chosen={fileIds}
          description={description}
          cameras={model?.cameras ?? []}
          offer={props.offer ?? true}
        />
      )}
      {fields.usual.length > 0 && <div class="dlc-fields">{fields.usual.map(row)}</div>}
      {fields.more.length > 0 && (
        <details
          open={more.value || wrongBelow}
          onToggle={(event) => {
            more.value = event.currentTarget.open;
          }}
        >
          <summary>More options ({fields.more.length})</summary>
          <div class="dlc-fields">{fields.more.map(row)}</div>
        </details>
      )}
      {errors.value.size > 0 && (
        <Notice kind="error">
          {plural(errors.value.size, "value needs", "values need")} another look: {wrongNames(errors.value)}.
        </Notice>
      )}
      {problem.value && <Notice kind="error">{problem.value}</Notice>}
      {done.value && <Notice kind="success">{done.value}</Notice>}
      <Button type="submit" kind="primary" disabled={busy.value}>
        {busy.value ? "Starting …" : startLabel(description, fileIds.value.length)}
      </Button>
    </form>
  );
}

function wrongNames(errors: ReadonlyMap<string, string>): string {
  return [...errors.keys()].map((each) => labelOf(each)).join(", ");
}

function startLabel(description: AnalysisDescription | undefined, chosen: number): string {
  return description?.inputs.at_most === 1 && chosen > 1 ? `Start ${chosen} analyses` : "Start";
}

function modelsFor(description: AnalysisDescription | undefined, models: readonly Model[]): Model[] {
  const kind = description?.model_kind;
  return models.filter((each) => (kind === null || each.kind === kind) && each.problem === null);
}

/** The model that was named, or the only one that there is. */
function modelOf(name: unknown, models: readonly Model[]): Model | undefined {
  return models.find((each) => each.name === name) ?? (models.length === 1 ? models[0] : undefined);
}

/** Return the values of all fields that were set, and what is wrong with each that is. */
function gather(
  description: AnalysisDescription,
  analysis: string,
  set: Record<string, unknown>,
  models: readonly Model[],
): { values: Record<string, unknown>; errors: Map<string, string> } {
  const { usual, more } = fieldsOf(analysis, description.parameters);
  const values: Record<string, unknown> = {};
  const errors = new Map<string, string>();
  for (const field of [...usual, ...more]) {
    const given = set[field.name];
    const only = field.kind === "model" ? modelsFor(description, models) : [];
    const value = given ?? (only.length === 1 ? only[0]?.name : undefined);
    if (value === undefined && !field.required) continue;
    try {
      const read = typeof value === "string" || value === undefined ? valueOf(field, value ?? "") : value;
      if (read !== null) values[field.name] = read;
    } catch (error) {
      if (!(error instanceof Mistyped)) throw error;
      errors.set(field.name, error.message);
    }
  }
  return { values, errors };
}

/** Start one analysis with all files where it takes several, else one for each. */
async function startAll(
  store: Store,
  analysis: string,
  description: AnalysisDescription,
  fileIds: readonly string[],
  values: Record<string, unknown>,
): Promise<string[]> {
  const sets = description.inputs.at_most === 1 && fileIds.length > 1 ? fileIds.map((each) => [each]) : [[...fileIds]];
  const ids: string[] = [];
  for (const files of sets) {
    ids.push(await launch(store, { ...values, analysis, ...(files.length > 0 ? { file_id: files } : {}) }));
  }
  return ids;
}
