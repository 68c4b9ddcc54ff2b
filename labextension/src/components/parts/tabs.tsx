import type { ComponentChildren } from "preact";
import { useId, useRef } from "preact/hooks";
import type { Signal } from "@preact/signals";

export interface Tab<Name extends string> {
  name: Name;
  label: string;
  /** A number beside the label, where it says something. */
  count?: number;
}

/** One of several rooms at a time: arrow keys go from one to the next, as in any list of tabs. */
export function Tabs<Name extends string>(props: {
  tabs: readonly Tab<Name>[];
  chosen: Signal<Name>;
  label: string;
  children: ComponentChildren;
}) {
  const { tabs, chosen } = props;
  const id = useId();
  const row = useRef<HTMLDivElement>(null);
  const move = (step: number): void => {
    const at = tabs.findIndex((each) => each.name === chosen.value);
    const next = tabs[(at + step + tabs.length) % tabs.length];
    if (!next) return;
    chosen.value = next.name;
    row.current?.querySelector<HTMLElement>(`[data-tab="${next.name}"]`)?.focus();
  };
  return (
    <>
      <div
        ref={row}
        class="dlc-tabs"
        role="tablist"
        aria-label={props.label}
        onKeyDown={(event) => {
          if (event.key === "ArrowRight") move(1);
          else if (event.key === "ArrowLeft") move(-1);
          else return;
          event.preventDefault();
          event.stopPropagation();
        }}
      >
        {tabs.map(({ name, label, count }) => (
          <button
            key={name}
            type="button"
            role="tab"
            data-tab={name}
            id={`${id}-${name}`}
            aria-controls={`${id}-panel`}
            aria-selected={chosen.value === name}
            tabIndex={chosen.value === name ? 0 : -1}
            class="dlc-tab"
            onClick={() => {
              chosen.value = name;
            }}
          >
            {label}
            {count ? <span class="dlc-badge">{count}</span> : null}
          </button>
        ))}
      </div>
      <div role="tabpanel" id={`${id}-panel`} aria-labelledby={`${id}-${chosen.value}`} class="dlc-tab-panel">
        {props.children}
      </div>
    </>
  );
}
