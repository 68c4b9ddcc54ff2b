/** Buttons below the picture: play, step, jump, speed. */

import { useSignal } from "@preact/signals";
import { Button } from "../parts/button";
import { clock, count } from "../parts/wording";
import { Icon, type IconName } from "./icons";
import { SPEEDS, type Transport } from "./transport";

export function Controls({ transport, help }: { transport: Transport; help: () => void }) {
  const { wishes } = transport;
  const step = (by: number, icon: IconName, label: string, narrow = "") => (
    <Button
      kind="quiet"
      label={label}
      onClick={() => {
        transport.step(by);
      }}
    >
      <span class={narrow}>
        <Icon name={icon} />
      </span>
    </Button>
  );
  return (
    <div class="dlc-controls" role="toolbar" aria-label="Playing">
      <div class="dlc-controls-steps">
        <Button
          kind="quiet"
          label="First frame (Home)"
          onClick={() => {
            transport.goTo(0);
          }}
        >
          <Icon name="first" />
        </Button>
        {step(-10, "farBack", "Ten frames back (Shift + ←)")}
        {step(-1, "back", "One frame back (←)")}
        <Button
          kind="primary"
          label={wishes.playing.value ? "Pause (Space)" : "Play (Space)"}
          onClick={() => {
            transport.toggle();
          }}
        >
          <Icon name={wishes.playing.value ? "pause" : "play"} />
        </Button>
        {step(1, "on", "One frame on (→)")}
        {step(10, "farOn", "Ten frames on (Shift + →)")}
        <Button
          kind="quiet"
          label="Last frame (End)"
          onClick={() => {
            transport.goTo(transport.index.frames - 1);
          }}
        >
          <Icon name="last" />
        </Button>
      </div>
      <Place transport={transport} />
      <label class="dlc-controls-speed">
        <span class="dlc-hidden">Speed</span>
        <select
          class="dlc-input"
          value={String(wishes.speed.value)}
          onChange={(event) => {
            transport.setSpeed(Number(event.currentTarget.value));
          }}
        >
          {[...new Set([...SPEEDS, wishes.speed.value])]
            .sort((one, other) => one - other)
            .map((speed) => (
              <option key={speed} value={String(speed)}>
                {wordedSpeed(speed)}
              </option>
            ))}
        </select>
      </label>
      <Button kind="quiet" label="Keys (?)" onClick={help}>
        ?
      </Button>
    </div>
  );
}

/** Where one is, and where one wants to go to. */
function Place({ transport }: { transport: Transport }) {
  const { frame, index } = transport;
  const typed = useSignal<string | null>(null);
  const go = (text: string): void => {
    const number = Number(text.replace(/[\s\u202f]/g, ""));
    if (text.trim() && Number.isFinite(number)) transport.goTo(number);
    typed.value = null;
  };
  return (
    <span class="dlc-controls-place">
      <label>
        <span class="dlc-faint">Frame</span>{" "}
        <input
          class="dlc-input dlc-frame-input"
          inputMode="numeric"
          autocomplete="off"
          aria-label={`Frame, of ${index.frames}: type a number to go there`}
          value={typed.value ?? String(frame.value)}
          onFocus={(event) => {
            event.currentTarget.select();
          }}
          onInput={(event) => {
            typed.value = event.currentTarget.value;
          }}
          onKeyDown={(event) => {
            if (event.key === "Enter") go(event.currentTarget.value);
            if (event.key === "Escape") typed.value = null;
          }}
          onBlur={() => {
            if (typed.value !== null) go(typed.value);
          }}
        />
      </label>
      <span class="dlc-faint">
        of {count(index.frames)} <span class="dlc-controls-time">{clock(index.time(frame.value) - index.time(0))}</span>
      </span>
    </span>
  );
}

/** 1/4 → "× ¼" */
export function wordedSpeed(speed: number): string {
  const fractions: Record<number, string> = { 0.0625: "1/16", 0.125: "1/8", 0.25: "1/4", 0.5: "1/2" };
  return `× ${fractions[speed] ?? String(speed)}`;
}
