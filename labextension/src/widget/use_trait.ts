import type { AnyModel } from "@anywidget/types";
import type { Signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { trait } from "./traits";

/** Return a widget's trait as a signal that lives as long as the component. */
export function useTrait<T>(model: AnyModel, name: string): Signal<T> {
  const followed = useMemo(() => trait<T>(model, name), [model, name]);
  useEffect(() => followed.stop, [followed]);
  return followed.signal;
}
