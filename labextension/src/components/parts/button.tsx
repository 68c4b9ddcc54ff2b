import type { ComponentChildren } from "preact";

/** A button with words; `label` names it for screen readers where it shows only a sign. */
export function Button(props: {
  children: ComponentChildren;
  onClick?: () => void;
  kind?: "plain" | "primary" | "quiet" | "danger";
  label?: string;
  title?: string;
  disabled?: boolean;
  pressed?: boolean;
  type?: "button" | "submit";
}) {
  return (
    <button
      type={props.type ?? "button"}
      class={`dlc-button dlc-${props.kind ?? "plain"}`}
      aria-label={props.label}
      aria-pressed={props.pressed}
      title={props.title ?? props.label}
      disabled={props.disabled ?? false}
      onClick={props.onClick}
    >
      {props.children}
    </button>
  );
}
