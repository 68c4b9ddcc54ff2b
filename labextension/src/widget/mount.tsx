/** A panel in the output of a cell: which one it is says the widget, where its server is the page or the kernel. */

import type { AnyModel } from "@anywidget/types";
import { render, type ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Notice } from "../components/parts/notice";
import { HttpConnection, pageConfig, type Connection } from "../server/connection";
import { Refusal, sentence } from "../server/refusal";
import { storeOf, type Store } from "../server/store";
import { KernelConnection } from "./kernel_connection";
import { panels, type PanelName } from "./panels";

export interface PanelProps {
  store: Store;
  model: AnyModel;
}

/** Show the panel of a widget in an element, until the function that is returned is called. */
export function mount(model: AnyModel, element: HTMLElement): () => void {
  element.classList.add("dlc");
  // Or JupyterLab takes Enter on a button for its own, and arrows for steps from cell to cell.
  element.dataset.lmSuppressShortcuts = "true";
  const name = model.get("_panel") as PanelName;
  render(<Panel model={model} of={panels[name]} />, element);
  return () => {
    render(null, element);
  };
}

function Panel({ model, of: Content }: { model: AnyModel; of: ComponentType<PanelProps> }) {
  const [store, setStore] = useState<Store | null>(null);
  const [problem, setProblem] = useState("");
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    let release = (): void => undefined;
    let gone = false;
    findServer(model).then(
      (server) => {
        if (gone) return;
        const found = storeOf(server);
        release = found.use();
        setProblem("");
        setStore(found);
      },
      (error: unknown) => {
        setProblem(sentence(error));
      },
    );
    return () => {
      gone = true;
      release();
    };
  }, [model, attempt]);
  if (store) return <Content store={store} model={model} />;
  if (!problem) return <p class="dlc-faint">Looking for the server …</p>;
  return (
    <Notice
      kind="error"
      action={{
        label: "Try again",
        run: () => {
          setAttempt(attempt + 1);
        },
      }}
    >
      {problem}
    </Notice>
  );
}

/**
 * Return the way to the server that the widget is of: by HTTP where it is the page's own or of the same origin, and
 * otherwise through the kernel, if that has found one.
 *
 * @throws Error A sentence that says what to do.
 */
async function findServer(model: AnyModel): Promise<Connection> {
  const wanted = model.get("_server") as string;
  const page = pageConfig();
  let reason = "This page is not one of a Jupyter server.";
  const base = wanted || page?.base;
  if (base !== undefined && new URL(base, location.href).origin === location.origin) {
    const direct = new HttpConnection(base, page?.token);
    try {
      await direct.ask("status");
      return direct;
    } catch (error) {
      reason = error instanceof Refusal && error.status === 404 ? "dlc_jupyter is not enabled there." : sentence(error);
    }
  }
  if (model.get("_kernel_has_server") as boolean) return new KernelConnection(model);
  throw new Error(
    `No server with dlc_jupyter was found. ${reason} Install dlc-jupyter where Jupyter runs and start it again, or ` +
      'give the address: panel(Client("http://…", token="…")).',
  );
}
