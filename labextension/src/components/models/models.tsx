/** The DeepLabCut projects that a server knows, and what they know. */

import type { Signal } from "@preact/signals";
import type { Store } from "../../server/store";
import type { Model } from "../../server/types";
import { Button } from "../parts/button";
import { plural } from "../parts/wording";

export function Models(props: {
  store: Store;
  /** The one that is chosen for an analysis, where something chooses; "" for none. */
  chosen?: Signal<string>;
}) {
  const models = props.store.models.value;
  if (models === null) return <p class="dlc-faint">Loading …</p>;
  if (models.length === 0) {
    return (
      <p class="dlc-empty">
        No model yet. Name a DeepLabCut project in jupyter_server_config.py:{" "}
        <code>c.DLCApp.models = {'{"mouse": "/path/to/config.yaml"}'}</code>
      </p>
    );
  }
  return (
    <ul class="dlc-models" aria-label="Models">
      {models.map((each) => (
        <Card key={each.name} model={each} chosen={props.chosen} />
      ))}
    </ul>
  );
}

function Card({ model, chosen }: { model: Model; chosen: Signal<string> | undefined }) {
  const { calibration } = model;
  const isChosen = chosen?.value === model.name;
  return (
    <li class={`dlc-model${isChosen ? " dlc-selected" : ""}`}>
      <div class="dlc-model-head">
        <b>{model.name}</b>
        <span class="dlc-tag">{model.kind.toUpperCase()}</span>
        {chosen && model.problem === null && (
          <Button
            kind="quiet"
            pressed={isChosen}
            label={`Use ${model.name}`}
            onClick={() => {
              chosen.value = isChosen ? "" : model.name;
            }}
          >
            {isChosen ? "In use" : "Use"}
          </Button>
        )}
      </div>
      {model.problem !== null && <p class="dlc-bad">{model.problem}</p>}
      <dl class="dlc-facts">
        <Names label={plural(model.bodyparts.length, "body part")} names={model.bodyparts} />
        {model.individuals.length > 0 && (
          <Names label={plural(model.individuals.length, "individual")} names={model.individuals} />
        )}
        {model.cameras.length > 0 && <Names label={plural(model.cameras.length, "camera")} names={model.cameras} />}
        {calibration && (
          <>
            <dt>Calibrated</dt>
            <dd>
              {calibration.error === null ? "error not known" : `to ${calibration.error.toFixed(2)} px`}, in{" "}
              {calibration.unit}
            </dd>
          </>
        )}
        {model.net_type && (
          <>
            <dt>Network</dt>
            <dd>
              {model.net_type}
              {model.snapshots && model.snapshots.length > 1 ? `, ${plural(model.snapshots.length, "snapshot")}` : ""}
            </dd>
          </>
        )}
      </dl>
    </li>
  );
}

function Names({ label, names }: { label: string; names: readonly string[] }) {
  return (
    <>
      <dt>{label}</dt>
      <dd>{names.join(", ")}</dd>
    </>
  );
}
