import { useSignal, type Signal } from "@preact/signals";
import type { Store } from "../../server/store";
import type { AnalysisDescription, StoredFile } from "../../server/types";
import { isMade, isVideo } from "../files/about";
import { Button } from "../parts/button";
import { SearchField } from "../parts/search";
import { VirtualList } from "../parts/virtual_list";
import { bytes } from "../parts/wording";

const ROW = 32;
/** From how many videos on there is something to search with. */
const MANY = 8;

/** The videos that go in, in their order; and, where wanted, those that there are to choose from. */
export function ChosenFiles(props: {
  store: Store;
  chosen: Signal<string[]>;
  description: AnalysisDescription;
  /** Of the model: the videos belong to them in this order. */
  cameras: readonly string[];
  offer: boolean;
}) {
  const { store, chosen, description, cameras } = props;
  const named = description.by_camera;
  return (
    <fieldset class="dlc-field dlc-files">
      <legend class="dlc-label">{named ? "Videos, in the order of the cameras" : "Videos"}</legend>
      {chosen.value.length > 0 ? (
        <ol class="dlc-chips" aria-label="Chosen videos">
          {chosen.value.map((id, at) => (
            <Chip
              key={id}
              filename={store.file(id)?.filename ?? id.slice(0, 8)}
              camera={named ? (cameras[at] ?? `camera ${at + 1}`) : ""}
              sooner={
                named && at > 0
                  ? () => {
                      const others = chosen.value.filter((each) => each !== id);
                      chosen.value = [...others.slice(0, at - 1), id, ...others.slice(at - 1)];
                    }
                  : null
              }
              remove={() => {
                chosen.value = chosen.value.filter((each) => each !== id);
              }}
            />
          ))}
        </ol>
      ) : (
        !props.offer && <p class="dlc-faint">None yet: tick them in the list of files.</p>
      )}
      {props.offer && <Offer store={store} chosen={chosen} />}
    </fieldset>
  );
}

function Chip(props: { filename: string; camera: string; sooner: (() => void) | null; remove: () => void }) {
  return (
    <li class="dlc-chip">
      {props.camera && <b>{props.camera}</b>}
      <span class="dlc-chip-name" title={props.filename}>
        {props.filename}
      </span>
      {props.sooner && (
        <Button kind="quiet" label={`Move ${props.filename} to the camera before`} onClick={props.sooner}>
          ↑
        </Button>
      )}
      <Button kind="quiet" label={`Leave ${props.filename} out`} onClick={props.remove}>
        ✕
      </Button>
    </li>
  );
}

function Offer({ store, chosen }: { store: Store; chosen: Signal<string[]> }) {
  const typed = useSignal("");
  const videos = store.files.value.filter((each) => isVideo(each) && !isMade(each));
  const wanted = typed.value.toLowerCase();
  const shown = videos.filter((each) => each.filename.toLowerCase().includes(wanted));
  if (videos.length === 0) return <p class="dlc-faint">No video yet: upload one first.</p>;
  return (
    <>
      {videos.length > MANY && <SearchField typed={typed} placeholder="Search videos …" label="Search videos" />}
      {shown.length > 0 ? (
        <VirtualList items={shown} rowHeight={ROW} height={6 * ROW} label="Videos" keyOf={(each) => each.file_id}>
          {(file) => <Choice file={file} chosen={chosen} />}
        </VirtualList>
      ) : (
        <p class="dlc-faint">No video is called like that.</p>
      )}
    </>
  );
}

function Choice({ file, chosen }: { file: StoredFile; chosen: Signal<string[]> }) {
  const on = chosen.value.includes(file.file_id);
  return (
    <label class={`dlc-choice${on ? " dlc-chosen" : ""}`}>
      <input
        type="checkbox"
        checked={on}
        onChange={(event) => {
          const others = chosen.value.filter((each) => each !== file.file_id);
          chosen.value = event.currentTarget.checked ? [...others, file.file_id] : others;
        }}
      />
      <span class="dlc-choice-name" title={file.filename}>
        {file.filename}
      </span>
      <span class="dlc-faint">{bytes(file.size)}</span>
    </label>
  );
}
