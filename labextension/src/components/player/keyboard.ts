/** What keys do in a player, and what the help says of them. */

import { SPEEDS, type Transport } from "./transport";

export interface KeyActions {
  transport: Transport;
  zoom: (factor: number) => void;
  help: () => void;
}

export const KEYS: [string, string][] = [
  ["Space", "play or pause"],
  ["← →", "one frame back or on"],
  ["Shift + ← →", "ten frames"],
  ["Home, End", "first and last frame"],
  ["[ and ]", "selection begins, ends here"],
  ["L", "repeat the selection"],
  ["Esc", "no selection"],
  ["< and >", "slower, faster"],
  ["+ and −", "zoom the time line"],
  ["?", "this list"],
];

/** Elements that need keys for themselves: what is typed into them, and the keys that move them. */
const TYPED = "input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable=true]";

/** Do what a key says. @returns Whether it was meant for the player. */
export function press(event: KeyboardEvent, { transport, zoom, help }: KeyActions): boolean {
  const target = event.target as Element | null;
  if (event.ctrlKey || event.metaKey || event.altKey || target?.closest(TYPED)) return false;
  const arrows = event.key.startsWith("Arrow") || event.key === "Home" || event.key === "End";
  if (arrows && target?.matches("input[type=range], [role=tab]")) return false;
  if ((event.key === " " || event.key === "Enter") && target?.closest("button, summary, input")) return false;
  const far = event.shiftKey ? 10 : 1;
  switch (event.key) {
    case " ":
      transport.toggle();
      break;
    case "ArrowLeft":
      transport.step(-far);
      break;
    case "ArrowRight":
      transport.step(far);
      break;
    case "Home":
      transport.goTo(0);
      break;
    case "End":
      transport.goTo(transport.index.frames - 1);
      break;
    case "[":
      transport.mark("start");
      break;
    case "]":
      transport.mark("stop");
      break;
    case "l":
    case "L":
      transport.loop.value = !transport.loop.peek();
      break;
    case "Escape":
      transport.wishes.selection.value = null;
      break;
    case "<":
      transport.setSpeed(faster(transport.wishes.speed.peek(), -1));
      break;
    case ">":
      transport.setSpeed(faster(transport.wishes.speed.peek(), 1));
      break;
    case "+":
    case "=":
      zoom(0.5);
      break;
    case "-":
      zoom(2);
      break;
    case "?":
      help();
      break;
    default:
      return false;
  }
  return true;
}

/** The next speed of those that there are. */
export function faster(speed: number, by: 1 | -1): number {
  const next = by > 0 ? SPEEDS.find((each) => each > speed) : SPEEDS.filter((each) => each < speed).at(-1);
  return next ?? speed;
}
