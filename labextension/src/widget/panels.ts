/** The panels that there are, by the names that widgets give. */

import type { ComponentType } from "preact";
import type { PanelProps } from "./mount";
import { QueuePanel } from "./queue_panel";

export const panels = {
  queue: QueuePanel,
} satisfies Record<string, ComponentType<PanelProps>>;

export type PanelName = keyof typeof panels;
