import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { RefObject } from "preact";

/** Return whether an element is at least so many pixels wide, and the reference to be set on it. */
export function useWide<T extends HTMLElement>(pixels: number): [RefObject<T>, boolean] {
  const element = useRef<T>(null);
  const [wide, setWide] = useState(false);
  useLayoutEffect(() => {
    const box = element.current;
    if (!box) return;
    const look = (): void => {
      // A cell that is out of sight has no width, and is no phone.
      if (box.clientWidth > 0) setWide(box.clientWidth >= pixels);
    };
    look();
    const observer = new ResizeObserver(look);
    observer.observe(box);
    return () => {
      observer.disconnect();
    };
  }, [pixels]);
  return [element, wide];
}
