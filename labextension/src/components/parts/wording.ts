/** Numbers as people read them. */

const SIZES = ["bytes", "kB", "MB", "GB", "TB"];

/** 3 200 000 000 → "3.2 GB" */
export function bytes(count: number): string {
  let unit = 0;
  let rest = count;
  while (rest >= 999.5 && unit < SIZES.length - 1) {
    rest /= 1000;
    unit += 1;
  }
  return `${unit > 0 && rest < 9.95 ? rest.toFixed(1) : String(Math.round(rest))} ${SIZES[unit] ?? ""}`;
}

/** 3 725 s → "1 h 2 min" */
export function duration(seconds: number): string {
  if (seconds < 59.5) return `${Math.max(0, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
}

/** Time in a video: 83.4 s → "1:23.40" */
export function clock(seconds: number): string {
  const whole = Math.round(Math.max(0, seconds) * 100) / 100;
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  const rest = (whole % 60).toFixed(2).padStart(5, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** 3 minutes ago → "3 min ago"; older than a day → the date. */
export function ago(moment: string, now = Date.now()): string {
  const seconds = (now - Date.parse(moment)) / 1000;
  if (seconds < 5) return "just now";
  if (seconds < 86_400) return `${duration(seconds)} ago`;
  return new Date(moment).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
}

/** 12345 → "12 345" */
export function count(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}

/** Return `1 video`, `2 videos`. */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}
