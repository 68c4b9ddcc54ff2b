import { Uploader } from "../components/uploader/uploader";
import type { PanelProps } from "./mount";
import { uploadsBy } from "./uploads_of";
import { useTrait } from "./use_trait";

/** Uploads; `files` are the ids of those that are stored, the newest last. */
export function UploadPanel({ store, model }: PanelProps) {
  const files = useTrait<string[]>(model, "files");
  return (
    <Uploader
      uploads={uploadsBy(store)}
      slow={!store.server.direct}
      stored={(id) => {
        files.value = [...files.value.filter((each) => each !== id), id];
      }}
    />
  );
}
