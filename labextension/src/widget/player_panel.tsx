import { Player } from "../components/player/player";
import type { PanelProps } from "./mount";
import { usePlayerTraits } from "./player_traits";
import { useTrait } from "./use_trait";

/** The player, and what is looked at in it. */
export function PlayerPanel({ store, model }: PanelProps) {
  return <Player store={store} analysisId={useTrait<string>(model, "analysis_id")} {...usePlayerTraits(model)} />;
}
