/** A Python widget's traits as signals: what one side sets, the other sees. */

import type { AnyModel } from "@anywidget/types";
import { effect, signal, type Signal } from "@preact/signals";

export interface Trait<T> {
  signal: Signal<T>;
  /** Follow no longer. */
  stop: () => void;
}

/** Return a trait as a signal that follows it both ways. */
export function trait<T>(model: AnyModel, name: string): Trait<T> {
  const value = signal(model.get(name) as T);
  const heard = (): void => {
    const now = model.get(name) as T;
    if (!same(now, value.peek())) value.value = now;
  };
  model.on(`change:${name}`, heard);
  const stopEffect = effect(() => {
    const now = value.value;
    if (same(now, model.get(name))) return;
    model.set(name, now);
    model.save_changes();
  });
  return {
    signal: value,
    stop: () => {
      stopEffect();
      model.off(`change:${name}`, heard);
    },
  };
}

function same(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}
