/** Signs on buttons, drawn as the text is coloured. */

const PATHS = {
  play: "M7 4.5v15l12.5-7.5z",
  pause: "M6 5h4v14H6zM14 5h4v14h-4z",
  first: "M5 5h2.6v14H5zM20 5v14L9 12z",
  last: "M16.4 5H19v14h-2.6zM4 5v14l11-7z",
  back: "M16 5v14L6 12z",
  on: "M8 5v14l10-7z",
  farBack: "M12.5 5v14L3.5 12zM21 5v14l-9-7z",
  farOn: "M11.5 5v14l9-7zM3 5v14l9-7z",
  loop: "M7 7h9V4l5 4.5-5 4.500V10H9v4H6V8.500zM17 17H8v3l-5-4.500L8 11v3h7v-4h3v5.500z",
  plus: "M11 5h2v6h6v2h-6v6h-2v-6H5v-2h6z",
  minus: "M5 11h14v2H5z",
  left: "M15 5v14L6 12z",
  right: "M9 5v14l9-7z",
  up: "M5 15h14l-7-9z",
  down: "M5 9h14l-7 9z",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="dlc-icon" viewBox="0 0 24 24" width="16" height="16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} fill="currentColor" />
    </svg>
  );
}
