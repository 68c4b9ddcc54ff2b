/** Everything in one panel: files go in on the left, what becomes of them is on the right; rooms by tabs where it is narrow. */

import { useComputed, useSignal, type Signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Store } from "../../server/store";
import { Files } from "../files/files";
import { Launch } from "../launch/launch";
import { Models } from "../models/models";
import { Tabs, type Tab } from "../parts/tabs";
import { useWide } from "../parts/use_width";
import { Queue } from "../queue/queue";
import { Result } from "../results/result";
import { Uploader } from "../uploader/uploader";
import type { Uploads } from "../uploader/uploads";
import { ServerStatus } from "./server_status";

/** Pixels from which on there are two columns. */
const WIDE = 720;

type Room = "files" | "start" | "analyses" | "result" | "models";

export interface WholeProps {
  store: Store;
  uploads: Uploads;
  /** The videos that are chosen. */
  fileIds: Signal<string[]>;
  /** The analysis that is looked at; "" for none. */
  analysisId: Signal<string>;
}

export function Whole(props: WholeProps) {
  const { store, uploads, fileIds, analysisId } = props;
  const [element, wide] = useWide<HTMLDivElement>(WIDE);
  const room = useSignal<Room>("files");
  const left = useSignal<"videos" | "models">("videos");
  const parameters = useSignal<Record<string, unknown>>({});
  const analysis = useSignal("video");
  useEffect(
    () =>
      uploads.onStored((id) => {
        // What was brought just now is what something is to be done with.
        fileIds.value = [...fileIds.value.filter((each) => each !== id), id];
      }),
    [uploads, fileIds],
  );
  const active = useComputed(
    () => store.analyses.value.filter((each) => each.state === "running" || each.state === "queued").length,
  );
  const files = <FilesRoom {...props} />;
  const launch = (
    <Launch
      store={store}
      analysis={analysis}
      fileIds={fileIds}
      parameters={parameters}
      offer={false}
      started={(ids) => {
        analysisId.value = ids[0] ?? "";
        room.value = "analyses";
      }}
    />
  );
  const queue = (
    <Queue
      store={store}
      selected={analysisId}
      opened={() => {
        room.value = "result";
      }}
    />
  );
  const result = <Result store={store} analysisId={analysisId} />;
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
              {left.value === "videos" ? files : <Models store={store} />}
            </Tabs>
            <h3 class="dlc-room-head">Start an analysis</h3>
            {launch}
          </div>
          <div>
            <h3 class="dlc-room-head">Analyses</h3>
            {queue}
            {result}
          </div>
        </div>
      ) : (
        <Tabs label="DeepLabCut" chosen={room} tabs={tabs}>
          {room.value === "files" && files}
          {room.value === "start" && launch}
          {room.value === "analyses" && queue}
          {room.value === "result" && result}
          {room.value === "models" && <Models store={store} />}
        </Tabs>
      )}
    </div>
  );
}

function FilesRoom({ store, uploads, fileIds }: WholeProps) {
  return (
    <>
      <Uploader uploads={uploads} slow={!store.server.direct} />
      <Files store={store} chosen={fileIds} />
    </>
  );
}
