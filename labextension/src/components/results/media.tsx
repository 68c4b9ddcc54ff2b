import { useState } from "preact/hooks";
import { useSource } from "../parts/source";
import type { Store } from "../../server/store";

interface Props {
  store: Store;
  fileId: string;
  filename: string;
  /** What it shows. */
  caption: string;
}

/** A picture that an analysis has drawn; in full by a click. */
export function Picture({ store, fileId, filename, caption }: Props) {
  const { address, problem } = useSource(store, fileId);
  const [broken, setBroken] = useState(false);
  return (
    <figure class="dlc-figure">
      {address && !broken && (
        <a href={address} target="_blank" rel="noreferrer" aria-label={`${filename} in full`}>
          <img
            src={address}
            alt={caption || filename}
            loading="lazy"
            onError={() => {
              setBroken(true);
            }}
          />
        </a>
      )}
      <figcaption class="dlc-help">
        {caption || filename}
        {broken && <span class="dlc-bad"> The picture could not be fetched.</span>}
        {problem && <span class="dlc-bad"> {problem}</span>}
      </figcaption>
    </figure>
  );
}

/** A labelled video, played by the browser's own player. */
export function Film({ store, fileId, filename, caption }: Props) {
  const { address, problem } = useSource(store, fileId);
  const [broken, setBroken] = useState(false);
  return (
    <figure class="dlc-figure dlc-film">
      {address && (
        <video
          src={address}
          controls
          loop
          muted
          playsInline
          preload="metadata"
          aria-label={filename}
          onError={() => {
            setBroken(true);
          }}
        />
      )}
      <figcaption class="dlc-help">
        {caption}
        {broken && <span class="dlc-bad"> This browser cannot play it: download it.</span>}
        {problem && <span class="dlc-bad"> {problem}</span>}
      </figcaption>
    </figure>
  );
}
