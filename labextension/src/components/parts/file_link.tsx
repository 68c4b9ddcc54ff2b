import { useState } from "preact/hooks";
import { sentence } from "../../server/refusal";
import type { Store } from "../../server/store";
import { Button } from "./button";
import { DownloadIcon } from "./icons";
import { download } from "./source";

/** "Download": a link where the page reaches the server, a button where the bytes come through the kernel. */
export function FileLink({ store, fileId, filename }: { store: Store; fileId: string; filename: string }) {
  const [problem, setProblem] = useState("");
  const label = `Download ${filename}`;
  if (store.server.direct) {
    return (
      <a
        class="dlc-button dlc-quiet"
        href={store.server.address(`file/${fileId}`)}
        download={filename}
        aria-label={label}
        title={label}
      >
        <DownloadIcon />
      </a>
    );
  }
  return (
    <>
      <Button
        kind="quiet"
        label={label}
        onClick={() => {
          download(store, fileId, filename).catch((error: unknown) => {
            setProblem(sentence(error));
          });
        }}
      >
        <DownloadIcon />
      </Button>
      {problem && <span class="dlc-bad">{problem}</span>}
    </>
  );
}
