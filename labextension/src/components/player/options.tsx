/** What of the poses is drawn: how sure the network must be, which body parts and animals, lines, trails, names. */

import type { Signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { Button } from "../parts/button";
import type { Look } from "./look";
import { coloursOf } from "./palette";

const TRAILS = [0, 10, 30, 100, 300];
/** Pixels of error up to which the slider of a scene goes. */
const MOST_ERROR = 50;

export function Options(props: {
  look: Signal<Look>;
  threshold: Signal<number>;
  points: readonly [string, string][];
  /** Whether there is a skeleton to be drawn. */
  lines: boolean;
  /** Whether points are in space, where an error takes the place of the likelihood. */
  space: boolean;
  /** Whether there are pictures that can be brighter. */
  pictures: boolean;
  /** Have a copy made that is scrubbed more quickly; null where there is one, or none can be. */
  smooth: (() => void) | null;
}) {
  const { look, threshold, points, space } = props;
  const change = (some: Partial<Look>): void => {
    look.value = { ...look.peek(), ...some };
  };
  const individuals = [...new Set(points.map(([individual]) => individual))].filter(Boolean);
  const toggle = (label: string, name: "labels" | "skeleton") => (
    <Button
      pressed={look.value[name]}
      onClick={() => {
        change({ [name]: !look.peek()[name] });
      }}
    >
      {label}
    </Button>
  );
  return (
    <div class="dlc-options" role="group" aria-label="What is drawn">
      <div class="dlc-options-row">
        {space ? (
          <Slider
            label="Error at most"
            value={threshold.value}
            most={MOST_ERROR}
            step={1}
            worded={threshold.value > 0 ? `${threshold.value} px` : "any"}
            set={(value) => {
              threshold.value = value;
            }}
          />
        ) : (
          <Slider
            label="Likelihood above"
            value={threshold.value}
            most={1}
            step={0.01}
            worded={threshold.value.toFixed(2)}
            set={(value) => {
              threshold.value = value;
            }}
          />
        )}
        {props.lines && toggle("Skeleton", "skeleton")}
        {toggle("Names", "labels")}
        <label class="dlc-option">
          <span>Trail</span>
          <select
            class="dlc-input"
            value={String(look.value.trail)}
            onChange={(event) => {
              change({ trail: Number(event.currentTarget.value) });
            }}
          >
            {TRAILS.map((frames) => (
              <option key={frames} value={String(frames)}>
                {frames === 0 ? "none" : `${frames} frames`}
              </option>
            ))}
          </select>
        </label>
        <Slider
          label="Dots"
          value={look.value.dots}
          most={3}
          least={0.4}
          step={0.1}
          worded=""
          set={(dots) => {
            change({ dots });
          }}
        />
        {props.pictures && (
          <Slider
            label="Brightness"
            value={look.value.brightness}
            most={3}
            least={0.2}
            step={0.1}
            worded=""
            set={(brightness) => {
              change({ brightness });
            }}
          />
        )}
        {props.smooth && (
          <Button
            kind="quiet"
            title="Make a copy with more key frames: it takes some time, and room on the server's disk."
            onClick={props.smooth}
          >
            Scrub faster …
          </Button>
        )}
        {individuals.length > 1 && (
          <label class="dlc-option">
            <span>Colour</span>
            <select
              class="dlc-input"
              value={look.value.colourBy}
              onChange={(event) => {
                change({ colourBy: event.currentTarget.value as Look["colourBy"] });
              }}
            >
              <option value="bodypart">by body part</option>
              <option value="individual">by individual</option>
            </select>
          </label>
        )}
      </div>
      <Chips {...props} change={change} individuals={individuals} />
    </div>
  );
}

function Chips(props: {
  look: Signal<Look>;
  points: readonly [string, string][];
  individuals: string[];
  change: (some: Partial<Look>) => void;
}) {
  const { look, points, individuals, change } = props;
  const parts = [...new Set(points.map(([, part]) => part))];
  const { colourBy, hiddenParts, hiddenIndividuals } = look.value;
  const colours = coloursOf(points, colourBy);
  const colourOf = (name: string, which: 0 | 1): string | null =>
    (which === 1) === (colourBy === "bodypart")
      ? (colours[points.findIndex((point) => point[which] === name)] ?? null)
      : null;
  return (
    <>
      <ChipRow label="Body parts" names={parts} hidden={hiddenParts} colour={(name) => colourOf(name, 1)}>
        {(hidden) => {
          change({ hiddenParts: hidden });
        }}
      </ChipRow>
      {individuals.length > 1 && (
        <ChipRow
          label="Individuals"
          names={individuals}
          hidden={hiddenIndividuals}
          colour={(name) => colourOf(name, 0)}
        >
          {(hidden) => {
            change({ hiddenIndividuals: hidden });
          }}
        </ChipRow>
      )}
    </>
  );
}

function ChipRow(props: {
  label: string;
  names: string[];
  hidden: ReadonlySet<string>;
  colour: (name: string) => string | null;
  children: (hidden: Set<string>) => void;
}) {
  const { names, hidden, children: set } = props;
  const without = (name: string): Set<string> => {
    const changed = new Set(hidden);
    if (!changed.delete(name)) changed.add(name);
    return changed;
  };
  return (
    <div class="dlc-chips" role="group" aria-label={props.label}>
      {names.map((name) => (
        <Chip
          key={name}
          on={!hidden.has(name)}
          colour={props.colour(name)}
          only={() => {
            set(new Set(names.filter((each) => each !== name)));
          }}
          toggle={() => {
            set(without(name));
          }}
        >
          {name}
        </Chip>
      ))}
      {names.length > 1 && (
        <Button
          kind="quiet"
          label={hidden.size > 0 ? `Show all: ${props.label.toLowerCase()}` : `Hide all: ${props.label.toLowerCase()}`}
          onClick={() => {
            set(new Set(hidden.size > 0 ? [] : names));
          }}
        >
          {hidden.size > 0 ? "All" : "None"}
        </Button>
      )}
    </div>
  );
}

function Chip(props: {
  on: boolean;
  colour: string | null;
  toggle: () => void;
  only: () => void;
  children: ComponentChildren;
}) {
  return (
    <button
      type="button"
      class="dlc-chip"
      aria-pressed={props.on}
      title="Click to show or hide it; double-click to show only this one."
      onClick={props.toggle}
      onDblClick={props.only}
    >
      <span class="dlc-chip-dot" style={props.colour ? { background: props.colour } : {}} aria-hidden="true" />
      {props.children}
    </button>
  );
}

function Slider(props: {
  label: string;
  value: number;
  least?: number;
  most: number;
  step: number;
  /** The value as it is read; "" where the handle's place says enough. */
  worded: string;
  set: (value: number) => void;
}) {
  return (
    <label class="dlc-option">
      <span>{props.label}</span>
      <input
        type="range"
        min={props.least ?? 0}
        max={props.most}
        step={props.step}
        value={props.value}
        onInput={(event) => {
          props.set(Number(event.currentTarget.value));
        }}
      />
      {props.worded && <output class="dlc-option-value">{props.worded}</output>}
    </label>
  );
}
