import type { AnyModel } from "@anywidget/types";
import { effect, signal, type Signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import type { Span } from "../components/player/transport";
import { trait, type Trait } from "./traits";

/** Milliseconds between two frame numbers that Python is told: a kernel need not hear of every one that plays. */
const TELL = 100;

/** What a player shares with Python, besides whose poses it shows. */
export interface PlayerTraits {
  fileId: Signal<string>;
  frame: Signal<number>;
  threshold: Signal<number>;
  selection: Signal<Span | null>;
  playing: Signal<boolean>;
  speed: Signal<number>;
}

/** Return the player's traits of a widget as signals that live as long as the component. */
export function usePlayerTraits(model: AnyModel): PlayerTraits {
  const traits = useMemo(
    () => ({
      fileId: trait<string>(model, "file_id"),
      threshold: trait<number>(model, "threshold"),
      selection: trait<Span | null>(model, "selection"),
      playing: trait<boolean>(model, "playing"),
      speed: trait<number>(model, "speed"),
      frame: seldom(trait<number>(model, "frame")),
    }),
    [model],
  );
  useEffect(
    () => () => {
      for (const each of Object.values(traits)) each.stop();
    },
    [traits],
  );
  return useMemo(
    () => ({
      fileId: traits.fileId.signal,
      frame: traits.frame.signal,
      threshold: traits.threshold.signal,
      selection: traits.selection.signal,
      playing: traits.playing.signal,
      speed: traits.speed.signal,
    }),
    [traits],
  );
}

/** Return a trait that Python is told of every so often at most, and of the last value in any case. */
export function seldom<T>(of: Trait<T>, every = TELL): Trait<T> {
  const value = signal(of.signal.peek());
  let told = of.signal.peek();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let last = 0;
  const tell = (): void => {
    timer = undefined;
    last = Date.now();
    told = value.peek();
    of.signal.value = told;
  };
  const stopTelling = effect(() => {
    if (value.value === told) return;
    timer ??= setTimeout(tell, Math.max(0, last + every - Date.now()));
  });
  const stopHearing = effect(() => {
    const heard = of.signal.value;
    if (heard === told) return;
    told = heard;
    value.value = heard;
  });
  return {
    signal: value,
    stop: () => {
      if (timer !== undefined) {
        clearTimeout(timer);
        tell();
      }
      stopTelling();
      stopHearing();
      of.stop();
    },
  };
}
