import type { ComponentChildren } from "preact";
import { Button } from "./button";

/** A sentence that people should read, and what they can do about it. */
export function Notice(props: {
  kind: "info" | "warning" | "error" | "success";
  children: ComponentChildren;
  action?: { label: string; run: () => void };
}) {
  return (
    <div class={`dlc-notice dlc-${props.kind}`} role={props.kind === "error" ? "alert" : "status"}>
      <div>{props.children}</div>
      {props.action && <Button onClick={props.action.run}>{props.action.label}</Button>}
    </div>
  );
}
