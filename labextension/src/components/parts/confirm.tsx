import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Button } from "./button";

/** A button for what cannot be undone: it asks once more, in its own place. */
export function Confirm(props: {
  /** On the button, and again on the one that does it. */
  verb: string;
  /** What it is done to, for screen readers. */
  of: string;
  /** What the button shows instead of the verb. */
  sign?: ComponentChildren;
  run: () => void;
}) {
  const [asking, setAsking] = useState(false);
  const box = useRef<HTMLSpanElement>(null);
  const asked = useRef(false);
  useLayoutEffect(() => {
    // Who came by keyboard goes on where the question is, and comes back from it.
    if (asked.current) box.current?.querySelector("button")?.focus();
    asked.current = true;
  }, [asking]);
  if (!asking) {
    return (
      <span ref={box} class="dlc-confirm">
        <Button
          kind="quiet"
          label={`${props.verb} ${props.of}`}
          onClick={() => {
            setAsking(true);
          }}
        >
          {props.sign ?? props.verb}
        </Button>
      </span>
    );
  }
  return (
    <span
      ref={box}
      class="dlc-confirm"
      role="group"
      aria-label={`${props.verb} ${props.of}?`}
      onKeyDown={(event) => {
        if (event.key !== "Escape") return;
        event.stopPropagation();
        setAsking(false);
      }}
    >
      <Button
        onClick={() => {
          setAsking(false);
        }}
      >
        Keep
      </Button>
      <Button
        kind="danger"
        label={`${props.verb} ${props.of}, really`}
        onClick={() => {
          setAsking(false);
          props.run();
        }}
      >
        {props.verb}
      </Button>
    </span>
  );
}
