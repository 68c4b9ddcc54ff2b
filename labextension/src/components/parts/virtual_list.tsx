import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";

/** Rows beyond what is seen that are drawn too, so that quick scrolling shows no gap. */
const OVERSCAN = 6;

/** A list of rows of one height, of which only those in sight exist: it holds any number of them. */
export function VirtualList<T>(props: {
  items: readonly T[];
  /** Pixels. */
  rowHeight: number;
  /** Pixels at most; a shorter list is as high as its rows. */
  height: number;
  label: string;
  keyOf: (item: T) => string;
  children: (item: T, index: number) => ComponentChildren;
}) {
  const { items, rowHeight } = props;
  const [top, setTop] = useState(0);
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    if (box.current && box.current.scrollTop !== top) setTop(box.current.scrollTop);
  }, [items.length]);
  const first = Math.max(0, Math.floor(top / rowHeight) - OVERSCAN);
  const last = Math.min(items.length, Math.ceil((top + props.height) / rowHeight) + OVERSCAN);
  return (
    <div
      ref={box}
      class="dlc-list"
      role="list"
      aria-label={props.label}
      tabIndex={0}
      style={{ maxHeight: `${props.height}px` }}
      onScroll={(event) => {
        setTop(event.currentTarget.scrollTop);
      }}
    >
      <div style={{ height: `${items.length * rowHeight}px`, position: "relative" }}>
        {items.slice(first, last).map((item, at) => (
          <div
            key={props.keyOf(item)}
            role="listitem"
            aria-setsize={items.length}
            aria-posinset={first + at + 1}
            class="dlc-row"
            style={{
              position: "absolute",
              top: `${(first + at) * rowHeight}px`,
              height: `${rowHeight}px`,
              insetInline: 0,
            }}
          >
            {props.children(item, first + at)}
          </div>
        ))}
      </div>
    </div>
  );
}
