/** Signs on buttons, beside a name that says the same. */

const BOX = { width: 16, height: 16, viewBox: "0 0 16 16", fill: "none", stroke: "currentColor", "stroke-width": 1.5 };

/** An arrow into a tray. */
export function DownloadIcon() {
  return (
    <svg {...BOX} aria-hidden="true">
      <path d="M8 2v8M4.5 7 8 10.5 11.5 7M2.5 13.5h11" stroke-linecap="round" stroke-linejoin="round" />
    </svg>
  );
}

/** A bin. */
export function BinIcon() {
  return (
    <svg {...BOX} aria-hidden="true">
      <path d="M2.5 4.5h11M6 4V2.5h4V4M4 4.5l.6 9h6.8l.6-9" stroke-linecap="round" stroke-linejoin="round" />
    </svg>
  );
}
