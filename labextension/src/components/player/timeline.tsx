/** The time line: where bad stretches are, where one is, and which part is selected. */

import { useSignalEffect, type Signal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { Button } from "../parts/button";
import { clock, count } from "../parts/wording";
import { heed, useDrawing, useInks, useSize } from "./hooks";
import { Icon } from "./icons";
import type { Cast } from "./look";
import { likelihoodRamp } from "./palette";
import type { Session } from "./session";
import { columns, rateError, rateLikelihood, UNKNOWN } from "./strip";
import { RULER, stripHeight, TimelineCanvas, timelineHeight } from "./timeline_canvas";
import { around, following, frameAt, moved, whole, xOf, zoomed, type View } from "./view_range";

/** CSS pixels that a pointer may move within a click, and near which it takes hold of an edge. */
const STILL = 4;
const EDGE = 6;

interface Drag {
  kind: "scrub" | "select" | "pan";
  from: number;
  x: number;
  moved: boolean;
}

export function Timeline(props: {
  session: Session;
  view: Signal<View>;
  cast: Cast | null;
  /** Likelihood above which points are drawn; in space, the error below which they are. */
  threshold: number;
}) {
  const { session, view, cast } = props;
  const { transport, poses } = session;
  const { index, wishes } = transport;
  const box = useRef<HTMLDivElement>(null);
  const ground = useRef<HTMLCanvasElement>(null);
  const above = useRef<HTMLCanvasElement>(null);
  const bubble = useRef<HTMLDivElement>(null);
  const canvas = useRef<TimelineCanvas | null>(null);
  const drag = useRef<Drag | null>(null);
  const hover = useRef<number | null>(null);
  const size = useSize(box);
  const inks = useInks(box);
  const rows = cast?.shown ?? new Uint16Array(0);
  const height = timelineHeight(rows.length);
  const rate = session.space ? rateError : rateLikelihood;
  const ramp = useMemo(
    () => likelihoodRamp(session.space ? rateError(props.threshold || 5) / 254 : props.threshold),
    [props.threshold, session.space],
  );

  const drawAbove = useDrawing(() => {
    canvas.current?.drawAbove(view.peek(), transport.frame.peek(), wishes.selection.peek(), hover.current, inks);
  });
  const draw = useDrawing(() => {
    const likelihoods = { overview: session.overview.peek(), poses, rate };
    const analysed: [number, number] = [poses.first, poses.about.peek() ? poses.stop : poses.first];
    canvas.current?.drawGround({ view: view.peek(), index, likelihoods, rows, ramp, analysed, inks });
    drawAbove();
  });
  useEffect(() => {
    if (ground.current && above.current) canvas.current ??= new TimelineCanvas(ground.current, above.current);
    canvas.current?.fit(size.width, height, size.density);
    draw();
  }, [size, height, inks, ramp, rows]);
  useSignalEffect(() => {
    heed(view.value, session.overview.value, poses.version.value, poses.about.value);
    draw();
  });
  useSignalEffect(() => {
    const frame = transport.frame.value;
    heed(wishes.selection.value);
    if (!drag.current) view.value = following(view.peek(), frame, index.frames);
    drawAbove();
  });

  const place = (event: PointerEvent): { x: number; y: number; frame: number } => {
    const bounds = event.currentTarget instanceof Element ? event.currentTarget.getBoundingClientRect() : null;
    const x = event.clientX - (bounds?.left ?? 0);
    return { x, y: event.clientY - (bounds?.top ?? 0), frame: Math.floor(frameAt(view.peek(), x, size.width)) };
  };
  const down = (event: PointerEvent): void => {
    if (event.button !== 0 || !canvas.current) return;
    const { x, y, frame } = place(event);
    (event.currentTarget as Element).setPointerCapture(event.pointerId);
    const part = canvas.current.part(y);
    if (part === "overview") {
      drag.current = { kind: "pan", from: x, x, moved: true };
    } else if (part === "ruler") {
      drag.current = { kind: "scrub", from: frame, x, moved: true };
      transport.goTo(frame);
    } else {
      // An edge that one takes hold of moves; the other one stays.
      const selection = wishes.selection.peek();
      const ends = selection?.map((each) => Math.abs(xOf(view.peek(), each, size.width) - x)) ?? [];
      const held = ends.findIndex((each) => each < EDGE);
      const from = selection && held >= 0 ? (selection[1 - held] as number) : frame;
      drag.current = { kind: "select", from, x, moved: false };
    }
  };
  const move = (event: PointerEvent): void => {
    const { x, y, frame } = place(event);
    const { current } = drag;
    if (current?.kind === "scrub") transport.goTo(frame);
    else if (current?.kind === "pan") {
      view.value = moved(view.peek(), ((x - current.x) / size.width) * index.frames, index.frames);
      current.x = x;
    } else if (current?.kind === "select") {
      current.moved ||= Math.abs(x - current.x) > STILL;
      if (current.moved) transport.select(current.from, frame >= current.from ? frame + 1 : frame);
    }
    hover.current = y < RULER || current ? null : frame;
    tell(x, y, frame);
    drawAbove();
  };
  const up = (event: PointerEvent): void => {
    const { current } = drag;
    drag.current = null;
    if (current?.kind === "select" && !current.moved) transport.goTo(place(event).frame);
  };
  /** Say what is under the pointer. */
  const tell = (x: number, y: number, frame: number): void => {
    const { current } = bubble;
    if (!current) return;
    const parts = [`frame ${count(index.clamp(frame))}`, clock(index.time(index.clamp(frame)))];
    const row = Math.floor(((y - RULER) / stripHeight(rows.length)) * rows.length);
    const point = rows[row];
    if (y > RULER && point !== undefined && cast) {
      const likelihoods = { overview: session.overview.peek(), poses, rate };
      const [value = UNKNOWN] = columns(likelihoods, [point], { from: frame, to: frame + 1 }, 1);
      parts.unshift(value === UNKNOWN ? (cast.names[point] ?? "") : `${cast.names[point] ?? ""} ${worded(value)}`);
    }
    current.textContent = parts.join(" · ");
    current.hidden = false;
    current.style.insetInlineStart = `${Math.max(0, Math.min(x, size.width - current.offsetWidth))}px`;
  };
  const worded = (value: number): string => (session.space ? "" : (value / 254).toFixed(2));
  const leave = (): void => {
    hover.current = null;
    if (bubble.current) bubble.current.hidden = true;
    drawAbove();
  };

  return (
    <div class="dlc-timeline">
      <div
        ref={box}
        class="dlc-timeline-box"
        style={{ height: `${height}px` }}
        onPointerDown={down}
        onPointerMove={move}
        onPointerUp={up}
        onPointerCancel={() => {
          drag.current = null;
        }}
        onPointerLeave={leave}
        onWheel={(event) => {
          // The wheel alone scrolls the page.
          if (!event.ctrlKey && !event.metaKey) return;
          event.preventDefault();
          const bounds = event.currentTarget.getBoundingClientRect();
          const at = frameAt(view.peek(), event.clientX - bounds.left, size.width);
          view.value = zoomed(view.peek(), Math.exp(event.deltaY * 0.002), at, index.frames);
        }}
      >
        <canvas ref={ground} aria-hidden="true" />
        <canvas ref={above} aria-hidden="true" />
        <Slider session={session} />
        <div ref={bubble} class="dlc-bubble" hidden aria-hidden="true" />
      </div>
      <Tools session={session} view={view} />
    </div>
  );
}

/** The time line for keyboards and screen readers. */
function Slider({ session }: { session: Session }) {
  const { transport } = session;
  const { index, frame } = transport;
  return (
    <input
      type="range"
      class="dlc-timeline-slider"
      aria-label="Frame"
      aria-valuetext={`frame ${frame.value} of ${index.frames}, ${clock(index.time(frame.value))}`}
      min={0}
      max={index.frames - 1}
      step={1}
      value={frame.value}
      onKeyDown={(event) => {
        // Where one has asked to go counts, not where the picture has come to.
        const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: 100, PageDown: -100 }[event.key];
        if (by === undefined) return;
        event.preventDefault();
        event.stopPropagation();
        transport.step(by * (event.shiftKey ? 10 : 1));
      }}
      onInput={(event) => {
        transport.goTo(Number(event.currentTarget.value));
      }}
    />
  );
}

function Tools({ session, view }: { session: Session; view: Signal<View> }) {
  const { transport } = session;
  const { index, wishes, frame, loop } = transport;
  const selection = wishes.selection.value;
  const zoom = (factor: number) => () => {
    view.value = zoomed(view.peek(), factor, frame.peek(), index.frames);
  };
  const everything = view.value.to - view.value.from >= index.frames;
  return (
    <div class="dlc-timeline-tools">
      <span class="dlc-selection" aria-live="polite">
        {selection ? (
          <>
            <b>
              {count(selection[0])} – {count(selection[1] - 1)}
            </b>{" "}
            <span class="dlc-faint">
              {count(selection[1] - selection[0])} frames,{" "}
              {(index.time(selection[1]) - index.time(selection[0])).toFixed(2)} s
            </span>
          </>
        ) : (
          <span class="dlc-faint">Drag over the strip to select frames.</span>
        )}
      </span>
      {selection && (
        <>
          <Button
            kind="quiet"
            onClick={() => {
              view.value = around(selection[0], selection[1], index.frames);
            }}
          >
            Zoom to it
          </Button>
          <Button
            kind="quiet"
            label="Clear the selection"
            onClick={() => {
              wishes.selection.value = null;
            }}
          >
            Clear
          </Button>
        </>
      )}
      <Button
        kind="quiet"
        label={selection ? "Repeat the selection" : "Repeat"}
        pressed={loop.value}
        onClick={() => {
          loop.value = !loop.peek();
        }}
      >
        <Icon name="loop" />
      </Button>
      <span class="dlc-timeline-zoom" role="group" aria-label="Zoom of the time line">
        <Button kind="quiet" label="Zoom out" disabled={everything} onClick={zoom(2)}>
          <Icon name="minus" />
        </Button>
        <Button kind="quiet" label="Zoom in" onClick={zoom(0.5)}>
          <Icon name="plus" />
        </Button>
        <Button
          kind="quiet"
          disabled={everything}
          onClick={() => {
            view.value = whole(index.frames);
          }}
        >
          All
        </Button>
      </span>
    </div>
  );
}
