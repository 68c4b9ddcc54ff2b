/** The files of a server: videos to choose from, and what analyses have made of them. */

import { useComputed, useSignal, type Signal } from "@preact/signals";
import { removeFile } from "../../server/actions";
import { sentence } from "../../server/refusal";
import type { Store } from "../../server/store";
import type { StoredFile } from "../../server/types";
import { Confirm } from "../parts/confirm";
import { BinIcon } from "../parts/icons";
import { FileLink } from "../parts/file_link";
import { Notice } from "../parts/notice";
import { SearchField, Segments } from "../parts/search";
import { VirtualList } from "../parts/virtual_list";
import { ago, bytes, plural } from "../parts/wording";
import { comesFrom, isVideo, kindOf, shownBy, type FileFilter } from "./about";

const ROW = 52;
const FILTERS: [FileFilter, string][] = [
  ["videos", "Videos"],
  ["made", "Results"],
  ["all", "All"],
];

export function Files(props: {
  store: Store;
  /** The videos that are chosen for an analysis, in the order in which they were. */
  chosen: Signal<string[]>;
  /** Pixels. */
  height?: number;
}) {
  const { store, chosen } = props;
  const filter = useSignal<FileFilter>("videos");
  const typed = useSignal("");
  const problem = useSignal("");
  const shown = useComputed(() => store.files.value.filter((each) => shownBy(each, filter.value, typed.value)));
  const choose = (id: string, on: boolean): void => {
    const others = chosen.value.filter((each) => each !== id);
    chosen.value = on ? [...others, id] : others;
  };
  const remove = (file: StoredFile): void => {
    problem.value = "";
    removeFile(store, file.file_id).then(
      () => {
        choose(file.file_id, false);
      },
      (error: unknown) => {
        problem.value = sentence(error);
      },
    );
  };
  return (
    <section class="dlc-files-list" aria-label="Files">
      <div class="dlc-toolbar">
        <SearchField typed={typed} placeholder="Search files …" label="Search files" />
        <Segments chosen={filter} options={FILTERS} label="Which files" />
      </div>
      {problem.value && <Notice kind="error">{problem.value}</Notice>}
      {shown.value.length > 0 ? (
        <VirtualList
          items={shown.value}
          rowHeight={ROW}
          height={props.height ?? 5 * ROW}
          label={plural(shown.value.length, "file")}
          keyOf={(each) => each.file_id}
        >
          {(file) => (
            <Row
              store={store}
              file={file}
              chosen={chosen.value.includes(file.file_id)}
              choose={(on) => {
                choose(file.file_id, on);
              }}
              remove={() => {
                remove(file);
              }}
            />
          )}
        </VirtualList>
      ) : (
        <p class="dlc-empty">{emptiness(store, filter.value, typed.value)}</p>
      )}
    </section>
  );
}

function emptiness(store: Store, filter: FileFilter, typed: string): string {
  if (!store.loaded.value) return "Loading …";
  if (typed) return "No file is called like that.";
  return filter === "made" ? "No analysis has made a file yet." : "No video yet: upload one.";
}

function Row(props: {
  store: Store;
  file: StoredFile;
  chosen: boolean;
  choose: (on: boolean) => void;
  remove: () => void;
}) {
  const { store, file } = props;
  const about = (
    <span class="dlc-item-main">
      <span class="dlc-item-title" title={file.names.join("\n")}>
        {file.filename}
      </span>
      {file.media?.missing ? (
        <span class="dlc-item-more dlc-warn" title={file.media.missing}>
          {bytes(file.size)} · lacks {file.media.missing}
        </span>
      ) : (
        <span class="dlc-faint dlc-item-more">
          {bytes(file.size)} · {kindOf(file)} · {comesFrom(file, (id) => store.analysis(id))} {ago(file.created)}
        </span>
      )}
    </span>
  );
  return (
    <div class={`dlc-item${props.chosen ? " dlc-selected" : ""}`}>
      {isVideo(file) ? (
        <label class="dlc-item-choice">
          <input
            type="checkbox"
            checked={props.chosen}
            onChange={(event) => {
              props.choose(event.currentTarget.checked);
            }}
          />
          {about}
        </label>
      ) : (
        <span class="dlc-item-choice">{about}</span>
      )}
      <span class="dlc-item-actions">
        <FileLink store={store} fileId={file.file_id} filename={file.filename} />
        <Confirm verb="Delete" of={file.filename} sign={<BinIcon />} run={props.remove} />
      </span>
    </div>
  );
}
