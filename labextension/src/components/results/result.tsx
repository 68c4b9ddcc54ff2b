/** What came of an analysis: what one should know first, then pictures, files, numbers and where it all comes from. */

import { useSignal, type Signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { cancel, retry } from "../../server/actions";
import { sentence } from "../../server/refusal";
import type { Store } from "../../server/store";
import type { Analysis, Result as Found } from "../../server/types";
import { kindOf } from "../files/about";
import { Button } from "../parts/button";
import { CopyLine } from "../parts/copy_line";
import { FileLink } from "../parts/file_link";
import { Notice } from "../parts/notice";
import { ProgressBar } from "../parts/progress_bar";
import { bytes } from "../parts/wording";
import { inputs } from "../queue/order";
import { fraction, standing } from "../queue/queue";
import { useOutcome } from "./answer";
import { asDataFrame, contents, shownAs, type Fact, type ResultFile } from "./contents";
import { Log } from "./log";
import { Film, Picture } from "./media";

export function Result(props: {
  store: Store;
  /** The analysis that is looked at; "" for none. */
  analysisId: Signal<string>;
  /** What shows the poses over the video, where there is something. */
  player?: ComponentChildren;
}) {
  const { store, analysisId } = props;
  const analysis = store.analysis(analysisId.value);
  return (
    <section class="dlc-result" aria-label="Result">
      {analysis ? (
        <Of key={analysis.analysis_id} {...props} analysis={analysis} />
      ) : (
        <p class="dlc-empty">{absence(store, analysisId.value)}</p>
      )}
    </section>
  );
}

function absence(store: Store, id: string): string {
  if (!store.loaded.value) return "Loading …";
  return id ? `There is no analysis ${id.slice(0, 8)} (any more).` : "Select an analysis to see what came of it.";
}

function Of(props: { store: Store; analysis: Analysis; analysisId: Signal<string>; player?: ComponentChildren }) {
  const { store, analysis, analysisId } = props;
  const { result, failure, problem } = useOutcome(store, analysis);
  const refused = useSignal("");
  const act = (work: Promise<unknown>): void => {
    refused.value = "";
    work.catch((error: unknown) => {
      refused.value = sentence(error);
    });
  };
  const again = (): void => {
    act(
      retry(store, analysis).then((id) => {
        analysisId.value = id;
      }),
    );
  };
  const { state } = analysis;
  return (
    <>
      <Head store={store} analysis={analysis} />
      {refused.value && <Notice kind="error">{refused.value}</Notice>}
      {problem && <Notice kind="error">{problem}</Notice>}
      {(state === "running" || state === "queued") && (
        <>
          {state === "running" && <ProgressBar value={fraction(analysis)} label={`Progress of ${analysis.analysis}`} />}
          <p>
            <Button
              onClick={() => {
                act(cancel(store, analysis));
              }}
            >
              Cancel
            </Button>
          </p>
        </>
      )}
      {state === "cancelled" && (
        <Notice kind="info" action={{ label: "Run it again", run: again }}>
          It was cancelled. What it had found by then is kept, and the next run starts from it.
        </Notice>
      )}
      {failure && (
        <Notice kind="error" action={{ label: "Try again", run: again }}>
          <p class="dlc-failure">{failure.message}</p>
          {failure.hint && <p class="dlc-hint">{failure.hint}</p>}
        </Notice>
      )}
      {state === "succeeded" && !result && !problem && <p class="dlc-faint">Loading …</p>}
      {result && <Told result={result} />}
      {props.player}
      {result && <Succeeded store={store} analysis={analysis} result={result} />}
      {state !== "queued" && <Log store={store} analysis={analysis} />}
      <Fold label="Parameters">
        <Facts facts={chosen(analysis)} />
      </Fold>
    </>
  );
}

function Head({ store, analysis }: { store: Store; analysis: Analysis }) {
  const { model } = analysis.parameters;
  return (
    <header class={`dlc-result-head dlc-${analysis.state}`}>
      <h3>
        <span class="dlc-state" aria-hidden="true" />
        {analysis.analysis}
        {analysis.file_id.length > 0 && <> of {inputs(analysis, (id) => store.file(id))}</>}
      </h3>
      <p class="dlc-faint" role="status">
        {typeof model === "string" && model ? `${model} · ` : ""}
        {standing(analysis)} · <code title={analysis.analysis_id}>{analysis.analysis_id.slice(0, 8)}</code>
      </p>
    </header>
  );
}

/** What one should know before one believes the rest. */
function Told({ result }: { result: Found }) {
  const { notes, warnings } = contents(result, {});
  return (
    <>
      {warnings.map((each) => (
        <Notice key={each} kind="warning">
          {each}
        </Notice>
      ))}
      {notes.map((each) => (
        <Notice key={each} kind="info">
          {each}
        </Notice>
      ))}
    </>
  );
}

function Succeeded({ store, analysis, result }: { store: Store; analysis: Analysis; result: Found }) {
  const meanings = store.schema.value?.[analysis.analysis]?.results ?? {};
  const { files, facts, details, provenance } = contents(result, meanings);
  const python = asDataFrame(analysis.analysis_id, result);
  const media = files.flatMap((each) => {
    const file = store.file(each.fileId);
    const shown = shownAs(file);
    return file && shown ? [{ ...each, filename: file.filename, shown }] : [];
  });
  const films = media.filter((each) => each.shown === "video");
  const pictures = media.filter((each) => each.shown === "picture");
  return (
    <>
      {films.map((each) => (
        <Film key={each.field} store={store} fileId={each.fileId} filename={each.filename} caption={each.meaning} />
      ))}
      {pictures.length > 0 && (
        <div class="dlc-pictures">
          {pictures.map((each) => (
            <Picture
              key={each.field}
              store={store}
              fileId={each.fileId}
              filename={each.filename}
              caption={each.meaning}
            />
          ))}
        </div>
      )}
      {python !== null && (
        <>
          <h4>In the next cell</h4>
          <CopyLine text={python} label="the Python" />
        </>
      )}
      {files.length > 0 && (
        <>
          <h4>Files</h4>
          <ul class="dlc-result-files">
            {files.map((each) => (
              <FileRow key={each.field} store={store} file={each} />
            ))}
          </ul>
        </>
      )}
      {facts.length > 0 && (
        <>
          <h4>Numbers</h4>
          <Facts facts={facts} />
        </>
      )}
      {details.length > 0 && (
        <Fold label="More numbers">
          <Facts facts={details} />
        </Fold>
      )}
      {provenance !== null && (
        <Fold label="Where it comes from">
          <pre class="dlc-log" tabIndex={0}>
            {JSON.stringify(provenance, null, 2)}
          </pre>
        </Fold>
      )}
    </>
  );
}

function FileRow({ store, file }: { store: Store; file: ResultFile }) {
  const stored = store.file(file.fileId);
  const filename = stored?.filename ?? file.field;
  return (
    <li>
      <span class="dlc-item-main">
        <span class="dlc-item-title" title={filename}>
          {filename}
        </span>
        <span class="dlc-help">{file.meaning || (stored ? kindOf(stored) : "")}</span>
      </span>
      <span class="dlc-faint dlc-size">{stored ? bytes(stored.size) : ""}</span>
      <FileLink store={store} fileId={file.fileId} filename={filename} />
    </li>
  );
}

function Facts({ facts }: { facts: readonly Fact[] }) {
  return (
    <dl class="dlc-facts">
      {facts.map((each) => (
        <div key={each.field} title={each.meaning}>
          <dt>{each.label}</dt>
          <dd>
            {each.text}
            {each.meaning && <span class="dlc-help">{each.meaning}</span>}
          </dd>
        </div>
      ))}
    </dl>
  );
}

function chosen(analysis: Analysis): Fact[] {
  const { facts, details } = contents(analysis.parameters, {});
  return [...facts, ...details];
}

function Fold({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    <details class="dlc-fold">
      <summary>{label}</summary>
      {children}
    </details>
  );
}
