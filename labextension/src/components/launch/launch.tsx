/** A form for any analysis, made of its schema: choose files, say what to do with them, start. */

import { useComputed, useSignal, type Signal } from "@preact/signals";
import { launch } from "../../server/actions";
import { Refusal, sentence } from "../../server/refusal";
import type { Store } from "../../server/store";
import type { AnalysisDescription, Model, StoredFile } from "../../server/types";
import { Button } from "../parts/button";
import { Notice } from "../parts/notice";
import { bytes, plural } from "../parts/wording";
import { FieldRow } from "./field_row";
import { fieldsOf, Mistyped, valueOf, type Field } from "./fields";

const VIDEO = /^video\/|\.(mp4|m4v|mov|avi|mkv|webm|mpe?g|mts)$/i;

export interface LaunchProps {
  store: Store;
  /** The name of the analysis. */
  analysis: Signal<string>;
  /** The files that go in, in their order. */
  fileIds: Signal<string[]>;
  /** What was set, by parameter; what is not in it has its default. */
  parameters: Signal<Record<string, unknown>>;
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
  const videos = useComputed(() => store.files.value.filter(isVideo));
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
  const fields = description ? fieldsOf(analysis.value, description.parameters) : { usual: [], more: [] };
  const wrongBelow = fields.more.some((each) => errors.value.has(each.name));
  const row = (field: Field) => (
    <FieldRow
      key={`${analysis.value}.${field.name}`}
      field={field}
      value={parameters.value[field.name]}
      models={modelsFor(description, store.models.value ?? [])}
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
        <Files
          files={videos.value}
          chosen={fileIds}
          description={description}
          cameras={camerasOf(parameters.value.model, store.models.value ?? [])}
        />
      )}
      {fields.usual.map(row)}
      {fields.more.length > 0 && (
        <details
          open={more.value || wrongBelow}
          onToggle={(event) => {
            more.value = event.currentTarget.open;
          }}
        >
          <summary>More options ({fields.more.length})</summary>
          {fields.more.map(row)}
        </details>
      )}
      {problem.value && <Notice kind="error">{problem.value}</Notice>}
      {done.value && <Notice kind="success">{done.value}</Notice>}
      <Button type="submit" kind="primary" disabled={busy.value}>
        {busy.value ? "Starting …" : startLabel(description, fileIds.value.length)}
      </Button>
    </form>
  );
}

function startLabel(description: AnalysisDescription | undefined, chosen: number): string {
  return description?.inputs.at_most === 1 && chosen > 1 ? `Start ${chosen} analyses` : "Start";
}

function isVideo(file: StoredFile): boolean {
  return VIDEO.test(file.content_type) || VIDEO.test(file.filename);
}

function modelsFor(description: AnalysisDescription | undefined, models: readonly Model[]): Model[] {
  const kind = description?.model_kind;
  return models.filter((each) => (kind === null || each.kind === kind) && each.problem === null);
}

function camerasOf(model: unknown, models: readonly Model[]): string[] {
  return models.find((each) => each.name === model)?.cameras ?? [];
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

function Files(props: {
  files: readonly StoredFile[];
  chosen: Signal<string[]>;
  description: AnalysisDescription;
  cameras: readonly string[];
}) {
  const { files, chosen, description, cameras } = props;
  const typedText = useSignal("");
  const wanted = typedText.value.toLowerCase();
  const shown = files.filter((each) => each.filename.toLowerCase().includes(wanted)).slice(0, 200);
  const change = (id: string, on: boolean): void => {
    chosen.value = on ? [...chosen.value, id] : chosen.value.filter((each) => each !== id);
  };
  return (
    <fieldset class="dlc-field dlc-files">
      <legend class="dlc-label">
        {description.by_camera ? "Videos, in the order of the cameras" : "Videos"}
        {cameras.length > 0 && <span class="dlc-faint"> ({cameras.join(", ")})</span>}
      </legend>
      {files.length === 0 && <p class="dlc-faint">No video yet: upload one first.</p>}
      {files.length > 8 && (
        <input
          type="search"
          class="dlc-input"
          placeholder="Search videos …"
          aria-label="Search videos"
          value={typedText.value}
          onInput={(event) => {
            typedText.value = event.currentTarget.value;
          }}
        />
      )}
      <div class="dlc-choices">
        {shown.map((file) => {
          const at = chosen.value.indexOf(file.file_id);
          return (
            <label key={file.file_id} class={`dlc-choice${at >= 0 ? " dlc-chosen" : ""}`}>
              <input
                type="checkbox"
                checked={at >= 0}
                onChange={(event) => {
                  change(file.file_id, event.currentTarget.checked);
                }}
              />
              <span class="dlc-choice-name">{file.filename}</span>
              <span class="dlc-faint">
                {description.by_camera && at >= 0 ? (cameras[at] ?? `camera ${at + 1}`) : bytes(file.size)}
              </span>
            </label>
          );
        })}
      </div>
    </fieldset>
  );
}
