/**
 * What anywidget loads for every panel. It evaluates this file anew for each widget of a page; the first one's is used
 * by all of the same build, so that they share one store, one connection for events and one set of players.
 */

import "../style/index.css";
import type { AnyModel } from "@anywidget/types";
import { mount } from "./mount";

declare const BUILD: string;

type Mount = (model: AnyModel, element: HTMLElement) => () => void;

const page = globalThis as unknown as Record<symbol, Mount | undefined>;
const shared = (page[Symbol.for(`dlc_jupyter.mount ${BUILD}`)] ??= mount);

export default {
  render({ model, el }: { model: AnyModel; el: HTMLElement }): () => void {
    return shared(model, el);
  },
};
