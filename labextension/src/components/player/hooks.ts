/** What components of the player have in common: their size, their colours, and drawing once for each picture. */

import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Inks } from "./timeline_canvas";

export interface Size {
  width: number;
  height: number;
  /** Pixels of the screen for each CSS pixel. */
  density: number;
}

/** Follow the size of an element, in CSS pixels. */
export function useSize(element: RefObject<HTMLElement>): Size {
  const [size, setSize] = useState<Size>({ width: 0, height: 0, density: 1 });
  useLayoutEffect(() => {
    const { current } = element;
    if (!current) return undefined;
    const look = (): void => {
      const [width, height] = [current.clientWidth, current.clientHeight];
      const density = window.devicePixelRatio || 1;
      setSize((now) =>
        now.width === width && now.height === height && now.density === density ? now : { width, height, density },
      );
    };
    look();
    const observer = new ResizeObserver(look);
    observer.observe(current);
    window.addEventListener("resize", look);
    return () => {
      observer.disconnect();
      window.removeEventListener("resize", look);
    };
  }, [element]);
  return size;
}

/** The colours of the page around an element; they change with its theme. */
export function useInks(element: RefObject<HTMLElement>): Inks {
  const [inks, setInks] = useState<Inks>({ ink: "#222", faint: "#666", line: "#ccc", surface: "#fff", accent: "#06c" });
  useLayoutEffect(() => {
    const look = (): void => {
      if (!element.current) return;
      const style = getComputedStyle(element.current);
      const of = (name: string, or: string): string => style.getPropertyValue(name).trim() || or;
      const found = {
        ink: of("--dlc-ink", "#222"),
        faint: of("--dlc-faint-ink", "#666"),
        line: of("--dlc-line", "#ccc"),
        surface: of("--dlc-surface", "#fff"),
        accent: of("--dlc-accent", "#06c"),
      };
      setInks((now) => (JSON.stringify(now) === JSON.stringify(found) ? now : found));
    };
    look();
    const media = window.matchMedia("(prefers-color-scheme: dark)");
    media.addEventListener("change", look);
    const observer = new MutationObserver(look);
    // Themes of Jupyter are said by the body; their styles may come a moment later.
    observer.observe(document.body, { attributes: true });
    observer.observe(document.head, { childList: true });
    return () => {
      media.removeEventListener("change", look);
      observer.disconnect();
    };
  }, [element]);
  return inks;
}

/** Return a function that has `draw` called once before the next picture, however often it is called. */
export function useDrawing(draw: () => void): () => void {
  const latest = useRef(draw);
  latest.current = draw;
  const request = useRef(0);
  useEffect(
    () => () => {
      cancelAnimationFrame(request.current);
    },
    [],
  );
  const ask = useRef(() => {
    if (request.current) return;
    request.current = requestAnimationFrame(() => {
      request.current = 0;
      latest.current();
    });
  });
  return ask.current;
}

/** Say that what is read here matters: an effect that does runs again when any of it changes. */
export function heed(...values: unknown[]): number {
  return values.length;
}
