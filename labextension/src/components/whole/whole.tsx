/** Everything in one panel: files go in on the left, what becomes of them is on the right; rooms by tabs where it is narrow. */

import { useComputed, useSignal, type Signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Store } from "../../server/store";
import type { Analysis } from "../../server/types";
import { Files } from "../files/files";
import { Launch } from "../launch/launch";
import { Models } from "../models/models";
import { Tabs, type Tab } from "../parts/tabs";
import { useWide } from "../parts/use_width";
import { Player, type PlayerProps } from "../player/player";
import { Queue } from "../queue/queue";
import { Result } from "../results/result";
import { Uploader } from "../uploader/uploader";
import type { Uploads } from "../uploader/uploads";
import { ServerStatus } from "./server_status";

/** Pixels from which on there are two columns. */
const WIDE = 720;

/** Pixels of the queue where it stands beside files and form, which are about as high. */
const TALL = 638;

type Room = "files" | "start" | "analyses" | "result" | "models";

export interface WholeProps {
  store: Store;
  uploads: Uploads;
  /** What was uploaded, the newest last. */
  files: Signal<string[]>;
  /** The videos that are chosen. */
  fileIds: Signal<string[]>;
  /** What is to be done with them, and how. */
  analysis: Signal<string>;
  parameters: Signal<Record<string, unknown>>;
  /** The analyses that were started last. */
  started: Signal<string[]>;
  /** The analysis that is looked at; "" for none. */
  analysisId: Signal<string>;
  player: Omit<PlayerProps, "store" | "analysisId">;
}

export function Whole(props: WholeProps) {
  const { store, uploads, files, fileIds, analysisId } = props;
  const [element, wide] = useWide<HTMLDivElement>(WIDE);
  const room = useSignal<Room>("files");
  const left = useSignal<"videos" | "models">("videos");
  useEffect(
    () =>
      uploads.onStored((id) => {
        files.value = [...files.value.filter((each) => each !== id), id];
        // What was brought just now is what something is to be done with.
        fileIds.value = [...fileIds.value.filter((each) => each !== id), id];
      }),
    [uploads, files, fileIds],
  );
  const active = useComputed(
    () => store.analyses.value.filter((each) => each.state === "running" || each.state === "queued").length,
  );
  const look = (id: string): void => {
    // Another analysis is of videos of its own.
    props.player.fileId.value = "";
    analysisId.value = id;
  };
  const videos = (
    <>
      <Uploader uploads={uploads} slow={!store.server.direct} />
      <Files store={store} chosen={fileIds} />
    </>
  );
  const launch = (
    <Launch
      store={store}
      analysis={props.analysis}
      fileIds={fileIds}
      parameters={props.parameters}
      offer={false}
      started={(ids) => {
        props.started.value = ids;
        look(ids[0] ?? "");
        room.value = "analyses";
      }}
    />
  );
  const queue = (
    <Queue
      store={store}
      height={wide ? TALL : undefined}
      selected={analysisId}
      opened={() => {
        props.player.fileId.value = "";
        room.value = "result";
      }}
    />
  );
  const player = showsPoses(store.analysis(analysisId.value)) && (
    <Player store={store} analysisId={analysisId} {...props.player} />
  );
  const result = <Result store={store} analysisId={analysisId} player={player} />;
  const tabs: Tab<Room>[] = [
    { name: "files", label: "Files", count: fileIds.value.length },
    { name: "start", label: "Start" },
    { name: "analyses", label: "Analyses", count: active.value },
    { name: "result", label: "Result" },
    { name: "models", label: "Models" },
  ];
  return (
    <div ref={element} class="dlc-whole">
      <header class="dlc-whole-head">
        <h2>DeepLabCut</h2>
        <ServerStatus store={store} />
      </header>
      {wide ? (
        <>
          <div class="dlc-columns">
            <div>
              <Tabs
                label="What there is"
                chosen={left}
                tabs={[
                  { name: "videos", label: "Files", count: fileIds.value.length },
                  { name: "models", label: "Models" },
                ]}
              >
                {left.value === "videos" ? videos : <Models store={store} />}
              </Tabs>
              <h3 class="dlc-room-head">Start an analysis</h3>
              {launch}
            </div>
            <div>
              <h3 class="dlc-room-head">Analyses</h3>
              {queue}
            </div>
          </div>
          <div class="dlc-result-room">{result}</div>
        </>
      ) : (
        <Tabs label="DeepLabCut" chosen={room} tabs={tabs}>
          {room.value === "files" && videos}
          {room.value === "start" && launch}
          {room.value === "analyses" && queue}
          {room.value === "result" && result}
          {room.value === "models" && <Models store={store} />}
        </Tabs>
      )}
    </div>
  );
}

/** Whether there are poses to be looked at, or will be: of videos, by a model, and nothing went wrong. */
function showsPoses(analysis: Analysis | undefined): boolean {
  if (!analysis || analysis.file_id.length === 0 || typeof analysis.parameters.model !== "string") return false;
  return analysis.state === "running" || analysis.state === "succeeded";
}
