/** The numbers of the points as lines over time, linked with the time line and with what is shown. */

import { useSignal, useSignalEffect, type Signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { Button } from "../parts/button";
import { count } from "../parts/wording";
import { heed, useDrawing, useInks, useSize } from "./hooks";
import type { Cast } from "./look";
import type { Session } from "./session";
import type { Inks } from "./timeline_canvas";
import { MOST_FRAMES, tracesOf, unitOf, type Quantity } from "./traces";
import { frameAt, xOf, zoomed, type View } from "./view_range";

const FLAT: Quantity[] = ["x", "y", "likelihood", "speed"];
const SPACE: Quantity[] = ["x", "y", "z", "error", "speed"];
/** CSS pixels. */
const HEIGHT = 190;
const AXIS = 56;

export function Traces(props: { session: Session; view: Signal<View>; cast: Cast; threshold: number }) {
  const { session, view, cast, threshold } = props;
  const { transport, poses } = session;
  const { index, wishes } = transport;
  const quantities = session.space ? SPACE : FLAT;
  const quantity = useSignal<Quantity>("x");
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const head = useRef<HTMLDivElement>(null);
  const band = useRef<HTMLDivElement>(null);
  const readout = useRef<HTMLSpanElement>(null);
  const size = useSize(box);
  const inks = useInks(box);
  const tooMany = view.value.to - view.value.from > MOST_FRAMES;
  const good = session.space
    ? (error: number) => threshold === 0 || error <= threshold
    : (likelihood: number) => likelihood > threshold;

  const place = (): void => {
    const { current } = plot;
    if (!current) return;
    const { width } = current.over.getBoundingClientRect();
    const at = (frame: number): number => xOf(view.peek(), frame, width);
    if (head.current) head.current.style.transform = `translateX(${at(transport.frame.peek() + 0.5)}px)`;
    const selection = wishes.selection.peek();
    if (band.current) {
      band.current.hidden = !selection;
      if (selection) {
        band.current.style.insetInlineStart = `${at(selection[0])}px`;
        band.current.style.width = `${at(selection[1]) - at(selection[0])}px`;
      }
    }
  };
  const mark = useDrawing(place);
  const fill = useDrawing(() => {
    const { current } = plot;
    if (!current || tooMany) return;
    const { from, to } = view.peek();
    poses.wantAll(Math.floor(from), Math.ceil(to));
    const cropping = poses.about.peek()?.cropping;
    const [left, top] = [cropping?.[0] ?? 0, cropping?.[2] ?? 0];
    const options = { poses, cast, index, quantity: quantity.peek(), good, left, top };
    current.batch(() => {
      current.setData(tracesOf(view.peek(), current.over.clientWidth, options), false);
      current.setScale("x", { min: from, max: to });
      const scale = quantity.peek() === "likelihood" ? { min: 0, max: 1 } : rangeOf(current.data);
      current.setScale("y", scale);
    });
    place();
  });

  useEffect(() => {
    const { current } = box;
    if (!current || size.width < 50 || tooMany) return undefined;
    const made = makePlot(current, size.width, cast, inks, {
      zoom: (from, to) => {
        view.value = zoomed({ from, to }, 1, (from + to) / 2, index.frames);
      },
      point: (series, value, frame) => {
        if (!readout.current) return;
        const name = series === null ? "" : (cast.names[cast.shown[series - 1] as number] ?? "");
        readout.current.textContent = name && value !== null ? `${name} ${shortly(value)} · frame ${count(frame)}` : "";
      },
    });
    plot.current = made;
    for (const [of, kind] of [
      [band, "band"],
      [head, "head"],
    ] as const) {
      const element = document.createElement("div");
      element.className = `dlc-traces-at-${kind}`;
      of.current = element;
      made.over.append(element);
    }
    made.over.addEventListener("click", (event) => {
      if (made.select.width > 0) return;
      const bounds = made.over.getBoundingClientRect();
      transport.goTo(Math.floor(frameAt(view.peek(), event.clientX - bounds.left, bounds.width)));
    });
    fill();
    return () => {
      plot.current = null;
      made.destroy();
    };
  }, [size.width, cast, inks, tooMany, session]);
  useSignalEffect(() => {
    heed(view.value, poses.version.value, quantity.value);
    fill();
  });
  useEffect(fill, [threshold]);
  useSignalEffect(() => {
    heed(transport.frame.value, wishes.selection.value);
    mark();
  });

  return (
    <div class="dlc-traces">
      <div class="dlc-traces-head">
        <div class="dlc-segments" role="group" aria-label="Which numbers">
          {quantities.map((each) => (
            <Button
              key={each}
              kind="quiet"
              pressed={quantity.value === each}
              onClick={() => {
                quantity.value = each;
              }}
            >
              {each}
            </Button>
          ))}
        </div>
        <span class="dlc-traces-unit">
          {unitOf(quantity.value, session.space ? (poses.about.value?.unit ?? "") : "px")}
        </span>
        <span ref={readout} class="dlc-traces-readout" />
      </div>
      {tooMany ? (
        <p class="dlc-empty">
          Traces are shown of {count(MOST_FRAMES)} frames at most.{" "}
          <Button
            onClick={() => {
              const { from, to } = view.peek();
              view.value = zoomed(
                view.peek(),
                Math.min(1, MOST_FRAMES / 4 / (to - from)),
                transport.frame.peek(),
                index.frames,
              );
            }}
          >
            Zoom in here
          </Button>
        </p>
      ) : null}
      <div ref={box} class="dlc-traces-plot" style={{ height: tooMany ? "0" : `${HEIGHT}px` }} aria-hidden="true" />
    </div>
  );
}

interface PlotActions {
  zoom: (from: number, to: number) => void;
  /** What is nearest to the pointer; null: nothing. */
  point: (series: number | null, value: number | null, frame: number) => void;
}

function makePlot(element: HTMLElement, width: number, cast: Cast, inks: Inks, actions: PlotActions): uPlot {
  const axis = {
    stroke: inks.faint,
    font: "10.5px system-ui, sans-serif",
    grid: { stroke: inks.line, width: 0.5 },
    ticks: { stroke: inks.line, width: 1, size: 4 },
  };
  let focused: number | null = null;
  return new uPlot(
    {
      width,
      height: HEIGHT,
      padding: [6, 0, 0, 0],
      legend: { show: false },
      scales: { x: { time: false, auto: false }, y: { auto: false } },
      axes: [
        { ...axis, size: 22, values: (_plot, values) => values.map((each) => count(each)) },
        { ...axis, size: AXIS },
      ],
      series: [
        {},
        ...[...cast.shown].map((point) => ({
          stroke: cast.colours[point] as string,
          width: 1.2,
          points: { show: false },
          spanGaps: false,
        })),
      ],
      cursor: {
        drag: { x: true, y: false, setScale: false },
        focus: { prox: 24 },
        points: { size: 5 },
      },
      focus: { alpha: 0.35 },
      hooks: {
        setSelect: [
          (plot) => {
            if (plot.select.width < 4) return;
            const [from, to] = [plot.select.left, plot.select.left + plot.select.width].map((each) =>
              plot.posToVal(each, "x"),
            ) as [number, number];
            actions.zoom(from, to);
            // Behind the click that ends the drag: it is none that goes to a frame.
            setTimeout(() => {
              plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            });
          },
        ],
        setSeries: [
          (_plot, series) => {
            focused = series;
          },
        ],
        setCursor: [
          (plot) => {
            const at = plot.cursor.idx;
            if (at === null || at === undefined || focused === null) actions.point(null, null, 0);
            else actions.point(focused, plot.data[focused]?.[at] ?? null, plot.data[0][at] ?? 0);
          },
        ],
      },
    },
    [[], ...[...cast.shown].map(() => [])],
    element,
  );
}

/** From the least to the largest of all lines, with a little room. */
function rangeOf([, ...series]: uPlot.AlignedData): { min: number; max: number } {
  let [min, max] = [Infinity, -Infinity];
  for (const each of series) {
    for (const value of each) {
      if (value === null || value === undefined) continue;
      min = Math.min(min, value);
      max = Math.max(max, value);
    }
  }
  if (min > max) return { min: 0, max: 1 };
  const room = (max - min || 1) * 0.05;
  return { min: min - room, max: max + room };
}

function shortly(value: number): string {
  return Math.abs(value) < 10 ? value.toFixed(2) : value.toFixed(1);
}
