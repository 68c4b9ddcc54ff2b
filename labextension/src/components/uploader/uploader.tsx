/** Files from the user's disk to the server: dropped or chosen, several at once, paused, resumed, recognised. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { sentence } from "../../server/refusal";
import { Button } from "../parts/button";
import { Confirm } from "../parts/confirm";
import { Notice } from "../parts/notice";
import { ProgressBar } from "../parts/progress_bar";
import { ago, bytes, duration } from "../parts/wording";
import type { Earlier } from "./earlier";
import type { Item, Shown, Uploads } from "./uploads";

export function Uploader(props: {
  uploads: Uploads;
  /** Whether the way to the server is the slow one. */
  slow?: boolean;
  /** Called with the id of each file that is on the server now. */
  stored?: (fileId: string) => void;
}) {
  const { uploads } = props;
  const stored = useRef(props.stored);
  stored.current = props.stored;
  useEffect(() => {
    void uploads.lookBack();
    return uploads.onStored((id) => {
      stored.current?.(id);
    });
  }, [uploads]);
  const problem = useSignal("");
  const over = useSignal(false);
  const chooser = useRef<HTMLInputElement>(null);
  return (
    <section class="dlc-uploader" aria-label="Upload">
      <div
        class={`dlc-drop${over.value ? " dlc-over" : ""}`}
        onDragOver={(event) => {
          event.preventDefault();
          over.value = true;
        }}
        onDragLeave={(event) => {
          // Going over what lies inside is no leaving.
          if (!event.currentTarget.contains(event.relatedTarget as Node | null)) over.value = false;
        }}
        onDrop={(event) => {
          event.preventDefault();
          event.stopPropagation();
          over.value = false;
          uploads.add(event.dataTransfer?.files ?? []);
        }}
      >
        <p>
          <b>Drop videos here</b>, or{" "}
          <Button kind="primary" onClick={() => chooser.current?.click()}>
            choose files …
          </Button>
        </p>
        <p class="dlc-faint">
          {props.slow
            ? "This page cannot reach the server itself: files go through the notebook's kernel, which is slower."
            : "Any size. An upload that was interrupted goes on where it stopped: choose the file again."}
        </p>
        <input
          ref={chooser}
          class="dlc-file-input"
          type="file"
          multiple
          aria-label="Files to upload"
          tabIndex={-1}
          onChange={(event) => {
            uploads.add(event.currentTarget.files ?? []);
            event.currentTarget.value = "";
          }}
        />
      </div>
      {uploads.items.value.length > 0 && (
        <ul class="dlc-uploads">
          {uploads.items.value.map((item) => (
            <Row key={item.key} item={item} uploads={uploads} />
          ))}
        </ul>
      )}
      {problem.value && <Notice kind="error">{problem.value}</Notice>}
      {uploads.earlier.value.length > 0 && (
        <ul class="dlc-uploads" aria-label="Not finished yet">
          {uploads.earlier.value.map((each) => (
            <EarlierRow
              key={each.upload_id}
              upload={each}
              giveUp={() => {
                problem.value = "";
                uploads.giveUp(each).catch((error: unknown) => {
                  problem.value = sentence(error);
                });
              }}
            />
          ))}
        </ul>
      )}
    </section>
  );
}

function Row({ item, uploads }: { item: Item; uploads: Uploads }) {
  const shown = item.shown.value;
  const { name, size } = item.file;
  const ended = shown.state === "stored" || shown.state === "known";
  return (
    <li class={`dlc-upload dlc-${shown.state}`}>
      <div class="dlc-upload-main">
        <span class="dlc-upload-name">{name}</span>
        <span class="dlc-faint" role="status">
          {standing(shown, size)}
        </span>
        {!ended && shown.state !== "failed" && (
          <ProgressBar value={size > 0 ? shown.done / size : null} label={`Progress of ${name}`} />
        )}
        {shown.problem && <span class="dlc-bad">{shown.problem}</span>}
      </div>
      {shown.state === "sending" && (
        <Button
          kind="quiet"
          label={`Pause ${name}`}
          onClick={() => {
            uploads.pause(item);
          }}
        >
          Pause
        </Button>
      )}
      {(shown.state === "paused" || shown.state === "failed") && (
        <Button
          kind="quiet"
          label={`Go on with ${name}`}
          onClick={() => {
            uploads.resume(item);
          }}
        >
          {shown.state === "paused" ? "Resume" : "Try again"}
        </Button>
      )}
      <Button
        kind="quiet"
        label={`${ended ? "Take off the list" : "Remove"}: ${name}`}
        onClick={() => {
          uploads.remove(item);
        }}
      >
        ✕
      </Button>
    </li>
  );
}

function EarlierRow({ upload, giveUp }: { upload: Earlier; giveUp: () => void }) {
  const { filename, size, offset } = upload;
  return (
    <li class="dlc-upload dlc-earlier">
      <div class="dlc-upload-main">
        <span class="dlc-upload-name">{filename}</span>
        <span class="dlc-faint">
          {bytes(offset)} of {bytes(size)} arrived · begun {ago(upload.created)}
        </span>
        <ProgressBar value={size > 0 ? offset / size : null} label={`What has arrived of ${filename}`} />
        <span>{upload.ours ? "Choose the file again to go on." : "It was begun in another browser or program."}</span>
      </div>
      <Confirm verb="Discard" of={filename} run={giveUp} />
    </li>
  );
}

/** Where an upload stands, in a few words. */
export function standing(shown: Shown, size: number): string {
  switch (shown.state) {
    case "waiting":
      return `${bytes(size)} · waits`;
    case "comparing":
      return `${bytes(size)} · looking whether it is there already`;
    case "sending": {
      const parts = [`${bytes(shown.done)} of ${bytes(size)}`];
      if (shown.rate !== null) parts.push(`${bytes(shown.rate)}/s`);
      if (shown.left !== null) parts.push(`${duration(shown.left)} left`);
      return parts.join(" · ");
    }
    case "paused":
      return `${bytes(shown.done)} of ${bytes(size)} · paused`;
    case "stored":
      return `${bytes(size)} · uploaded`;
    case "known":
      return `${bytes(size)} · was there already, nothing was sent`;
    case "failed":
      return bytes(size);
  }
}
