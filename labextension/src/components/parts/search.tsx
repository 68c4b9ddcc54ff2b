/** What a list is narrowed by: text that is typed, and which kinds are shown. */

import type { Signal } from "@preact/signals";
import { Button } from "./button";

/** A field to search with; `label` names it for screen readers. */
export function SearchField(props: { typed: Signal<string>; placeholder: string; label: string }) {
  const { typed } = props;
  return (
    <input
      type="search"
      class="dlc-input"
      placeholder={props.placeholder}
      aria-label={props.label}
      value={typed.value}
      onInput={(event) => {
        typed.value = event.currentTarget.value;
      }}
    />
  );
}

/** Buttons of which one is pressed. */
export function Segments<T extends string>(props: {
  chosen: Signal<T>;
  options: readonly (readonly [T, string])[];
  label: string;
}) {
  const { chosen } = props;
  return (
    <div role="group" aria-label={props.label} class="dlc-segments">
      {props.options.map(([name, label]) => (
        <Button
          key={name}
          kind="quiet"
          pressed={chosen.value === name}
          onClick={() => {
            chosen.value = name;
          }}
        >
          {label}
        </Button>
      ))}
    </div>
  );
}
