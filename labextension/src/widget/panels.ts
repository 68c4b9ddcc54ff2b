/** The panels that there are, by the names that widgets give. */

import type { ComponentType } from "preact";
import { LaunchPanel } from "./launch_panel";
import type { PanelProps } from "./mount";
import { PlayerPanel } from "./player_panel";
import { QueuePanel } from "./queue_panel";
import { ResultPanel } from "./result_panel";
import { UploadPanel } from "./upload_panel";
import { WholePanel } from "./whole_panel";

export const panels = {
  upload: UploadPanel,
  launch: LaunchPanel,
  queue: QueuePanel,
  result: ResultPanel,
  player: PlayerPanel,
  whole: WholePanel,
} satisfies Record<string, ComponentType<PanelProps>>;

export type PanelName = keyof typeof panels;
