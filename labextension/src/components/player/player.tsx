/** A video with its poses drawn over it, or points in space: looked at frame by frame, without anything being rendered. */

import { useComputed, useSignal, useSignalEffect, type Signal } from "@preact/signals";
import { useEffect, useMemo, useState } from "preact/hooks";
import type { Store } from "../../server/store";
import type { Analysis } from "../../server/types";
import { Button } from "../parts/button";
import { Notice } from "../parts/notice";
import { Controls } from "./controls";
import { heed } from "./hooks";
import { KEYS, press } from "./keyboard";
import { castOf, USUAL, type Look } from "./look";
import { Missing, Notices } from "./notices";
import { Options } from "./options";
import { isInSpace, Session } from "./session";
import { StageView } from "./stage_view";
import { Timeline } from "./timeline";
import { Traces } from "./traces_view";
import type { Span } from "./transport";
import { whole, zoomed, type View } from "./view_range";

export interface PlayerProps {
  store: Store;
  /** The video; "" for the analysis's own, or its scene in space. */
  fileId: Signal<string>;
  /** Whose poses; "" for the newest of the video. */
  analysisId: Signal<string>;
  /** The frame that is shown; set, it is gone to. */
  frame: Signal<number>;
  /** Only points with a likelihood above it are drawn. */
  threshold: Signal<number>;
  /** [start, stop): the frames that are selected. */
  selection: Signal<Span | null>;
  playing: Signal<boolean>;
  speed: Signal<number>;
}

export function Player(props: PlayerProps) {
  const { store, fileId, analysisId } = props;
  const analysis = useComputed(() => (analysisId.value ? store.analysis(analysisId.value) : undefined));
  const chosen = useSignal<string | null>(null);
  // What is looked at in an analysis of several videos: one of them, or the scene.
  useEffect(() => {
    chosen.value = null;
  }, [fileId.value, analysisId.value]);
  useEffect(() => {
    if (analysisId.value && !analysis.value) store.refresh(analysisId.value).catch(() => undefined);
  }, [analysisId.value]);
  const views = viewsOf(store, fileId.value, analysis.value);
  const file = chosen.value ?? views[0]?.id;
  if (!fileId.value && !analysisId.value) {
    return <p class="dlc-empty">Choose a video, or an analysis of one, to look at its poses.</p>;
  }
  if (file === undefined) return <p class="dlc-faint">Loading …</p>;
  return (
    <section class="dlc-player-panel" aria-label="Player">
      {views.length > 1 && (
        <div class="dlc-segments" role="group" aria-label="What is shown">
          {views.map(({ id, label }) => (
            <Button
              key={id}
              kind="quiet"
              pressed={id === file}
              onClick={() => {
                chosen.value = id;
              }}
            >
              {label}
            </Button>
          ))}
        </div>
      )}
      <Opened key={`${file} ${analysisId.value}`} {...props} file={file} />
    </section>
  );
}

/**
 * What can be looked at: the scene in space ("") and the videos of an analysis. Who names a video other than its first
 * one wants to see that.
 */
function viewsOf(store: Store, fileId: string, analysis: Analysis | undefined): { id: string; label: string }[] {
  const inSpace = analysis !== undefined && isInSpace(analysis);
  if (!analysis || (fileId && !(inSpace && fileId === analysis.file_id[0]))) {
    return fileId ? [{ id: fileId, label: "" }] : [];
  }
  const { model } = analysis.parameters;
  const cameras = store.models.value?.find((each) => each.name === model)?.cameras ?? [];
  const videos = analysis.file_id.map((id, at) => ({
    id,
    label: cameras[at] ?? store.file(id)?.filename ?? `video ${at + 1}`,
  }));
  return inSpace ? [{ id: "", label: "In space" }, ...videos] : videos;
}

function Opened(props: PlayerProps & { file: string }) {
  const { store, analysisId, frame, selection, playing, speed } = props;
  const [session, setSession] = useState<Session | null>(null);
  useEffect(() => {
    const wishes = { selection, playing, speed };
    const opened = new Session(store, props.file, analysisId.peek(), wishes, frame.peek());
    setSession(opened);
    void opened.open();
    return () => {
      opened.close();
    };
  }, []);
  if (!session || session.phase.value === "opening") return <p class="dlc-faint">Opening …</p>;
  if (session.phase.value === "nothing") return <Missing session={session} />;
  if (session.phase.value === "failed") return <Notice kind="error">{session.problem.value}</Notice>;
  return <Ready {...props} session={session} />;
}

function Ready(props: PlayerProps & { session: Session }) {
  const { store, session, frame, threshold, playing, speed } = props;
  const { transport, poses } = session;
  const look = useSignal<Look>(USUAL);
  const view = useSignal<View>(whole(transport.index.frames));
  const traces = useSignal(false);
  const help = useSignal(false);
  const about = poses.about.value;
  const points = useMemo(() => about?.points ?? [], [about?.points.join()]);
  const skeleton = about?.skeleton ?? skeletonOf(store, session.analysisId.value);
  const { hiddenParts, hiddenIndividuals, colourBy } = look.value;
  const cast = useMemo(
    () => (points.length > 0 ? castOf(points, skeleton, look.value) : null),
    [points, skeleton, hiddenParts, hiddenIndividuals, colourBy],
  );
  // Pixels of reprojection error up to which points in space are drawn; 0: all are.
  const mostError = useSignal(0);
  const limit = session.space ? mostError.value : threshold.value;

  // What is set from elsewhere is followed; what the transport itself has set is no news.
  useSignalEffect(() => {
    const wanted = frame.value;
    if (wanted !== transport.frame.peek()) transport.goTo(wanted);
  });
  useSignalEffect(() => {
    const shown = transport.frame.value;
    if (shown !== frame.peek()) frame.value = shown;
  });
  useSignalEffect(() => {
    heed(playing.value);
    transport.follow();
  });
  useSignalEffect(() => {
    if (speed.value > 0) transport.setSpeed(Math.max(1 / 16, Math.min(16, speed.value)));
  });
  const zoom = (factor: number): void => {
    view.value = zoomed(view.peek(), factor, transport.frame.peek(), transport.index.frames);
  };
  const toggleHelp = (): void => {
    help.value = !help.peek();
  };
  return (
    <div
      class="dlc-player"
      data-lm-suppress-shortcuts="true"
      tabIndex={-1}
      onKeyDown={(event) => {
        if (help.peek() && event.key === "Escape") toggleHelp();
        else if (!press(event, { transport, zoom, help: toggleHelp })) return;
        event.preventDefault();
        event.stopPropagation();
      }}
    >
      <Notices session={session} />
      <StageView session={session} cast={cast} look={look.value} threshold={limit} />
      <Controls transport={transport} help={toggleHelp} />
      {help.value && <Help />}
      <Timeline session={session} view={view} cast={cast} threshold={limit} />
      {cast && (
        <>
          <Options
            look={look}
            threshold={session.space ? mostError : threshold}
            points={points}
            lines={skeleton.length > 0}
            space={session.space}
            pictures={session.pictures.played.value !== null}
            smooth={
              session.pictures.original && !session.pictures.making.value
                ? () => {
                    void session.pictures.make(true);
                  }
                : null
            }
          />
          <details
            class="dlc-traces-fold"
            open={traces.value}
            onToggle={(event) => {
              traces.value = event.currentTarget.open;
            }}
          >
            <summary>Traces</summary>
            {traces.value && <Traces session={session} view={view} cast={cast} threshold={limit} />}
          </details>
        </>
      )}
    </div>
  );
}

function Help() {
  return (
    <dl class="dlc-keys" role="note" aria-label="Keys">
      {KEYS.map(([key, what]) => (
        <div key={key}>
          <dt>{key}</dt>
          <dd>{what}</dd>
        </div>
      ))}
    </dl>
  );
}

const NO_LINES: [string, string][] = [];

function skeletonOf(store: Store, analysisId: string): [string, string][] {
  const model = store.analysis(analysisId)?.parameters.model;
  return store.models.value?.find((each) => each.name === model)?.skeleton ?? NO_LINES;
}
