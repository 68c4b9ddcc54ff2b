import { useId } from "preact/hooks";
import type { Model } from "../../server/types";
import { typed, type Field } from "./fields";

/** One parameter: its name, something to set it with, what it means, and what is wrong with it. */
export function FieldRow(props: {
  field: Field;
  /** What was set: text as typed, or a value; undefined for the default. */
  value: unknown;
  models: readonly Model[];
  /** Of the model that is chosen. */
  bodyparts: readonly string[];
  error: string;
  change: (text: string) => void;
}) {
  const { field, error } = props;
  const id = useId();
  const broad =
    field.kind === "model" ||
    field.kind === "choices" ||
    field.kind === "mapping" ||
    field.name === "displayedbodyparts";
  const help = field.kind === "model" ? aboutModel(props) : field.help;
  return (
    <div class={`dlc-field${error ? " dlc-wrong" : ""}${broad ? " dlc-broad" : ""}`}>
      <label class="dlc-label" for={id}>
        {field.label}
        {field.required && (
          <span class="dlc-faint" aria-hidden="true">
            {" "}
            needed
          </span>
        )}
      </label>
      <Control {...props} id={id} describedBy={`${id}-help`} />
      <span class="dlc-help" id={`${id}-help`} title={help}>
        {error ? <b class="dlc-bad">{error} </b> : null}
        {help}
      </span>
    </div>
  );
}

function Control(props: {
  id: string;
  describedBy: string;
  field: Field;
  value: unknown;
  models: readonly Model[];
  bodyparts: readonly string[];
  error: string;
  change: (text: string) => void;
}) {
  const { field, id, change } = props;
  const text = props.value === undefined ? "" : typed(props.value);
  const common = { id, class: "dlc-input", "aria-describedby": props.describedBy, "aria-invalid": props.error !== "" };
  const select = (options: [string, string][]) => (
    <select
      {...common}
      value={text || options[0]?.[0]}
      onChange={(event) => {
        change(event.currentTarget.value);
      }}
    >
      {options.map(([value, label]) => (
        <option key={value} value={value}>
          {label}
        </option>
      ))}
    </select>
  );
  const textInput = () => (
    <input
      {...common}
      type="text"
      inputMode={field.kind === "integer" ? "numeric" : field.kind === "number" ? "decimal" : "text"}
      value={text}
      placeholder={placeholder(field)}
      onInput={(event) => {
        change(event.currentTarget.value);
      }}
    />
  );
  switch (field.kind) {
    case "model": {
      const names = props.models.map((each) => each.name);
      if (names.length === 0) return <span class="dlc-faint">There is no model that this analysis can use.</span>;
      const unset: [string, string][] = names.length > 1 ? [["", "Choose a model …"]] : [];
      return select([...unset, ...names.map((each): [string, string] => [each, each])]);
    }
    case "choice": {
      const usual = field.default === null ? "as in the project" : typed(field.default);
      return select([
        ["", `${usual} (default)`],
        ...field.options.filter((each) => each !== typed(field.default)).map((each): [string, string] => [each, each]),
      ]);
    }
    case "flag":
      return (
        <input
          id={id}
          type="checkbox"
          aria-describedby={props.describedBy}
          checked={text === "" ? field.default === true : text === "true"}
          onChange={(event) => {
            change(String(event.currentTarget.checked));
          }}
        />
      );
    case "choices":
      return <Choices {...props} options={field.options} />;
    case "list":
      if (field.name === "displayedbodyparts" && props.bodyparts.length > 0) {
        return <Choices {...props} options={props.bodyparts} />;
      }
      return textInput();
    default:
      return textInput();
  }
}

function aboutModel({ bodyparts }: { bodyparts: readonly string[] }): string {
  return bodyparts.length > 0 ? `Finds ${bodyparts.join(", ")}.` : "The DeepLabCut project that looks at the videos.";
}

/** Any of a few: none is as good as all where the server says so. */
function Choices(props: {
  id: string;
  describedBy: string;
  field: Field;
  options: readonly string[];
  value: unknown;
  change: (text: string) => void;
}) {
  const chosen = typed(props.value).split(", ").filter(Boolean);
  return (
    <span id={props.id} role="group" aria-label={props.field.label} aria-describedby={props.describedBy}>
      {props.options.map((each) => (
        <label key={each} class="dlc-inline">
          <input
            type="checkbox"
            checked={chosen.includes(each)}
            onChange={(event) => {
              const rest = chosen.filter((other) => other !== each);
              props.change((event.currentTarget.checked ? [...rest, each] : rest).join(", "));
            }}
          />
          {each}
        </label>
      ))}
    </span>
  );
}

function placeholder(field: Field): string {
  if (field.default !== null) return typed(field.default);
  if (field.kind === "list") return "a, b, c";
  if (field.kind === "mapping") return "camera-1=…, camera-2=…";
  return "";
}
