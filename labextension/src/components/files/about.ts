/** What a stored file is, in a few words. */

import type { Analysis, StoredFile } from "../../server/types";
import { duration } from "../parts/wording";

export type FileFilter = "videos" | "made" | "all";

const VIDEO = /^video\/|\.(mp4|m4v|mov|avi|mkv|webm|mpe?g|mts)$/i;

/** By the end of the name: what DeepLabCut and this package write. */
const KINDS: [RegExp, string][] = [
  [/_full\.pickle$/i, "all that the network found"],
  [/_meta\.pickle$/i, "how the poses were made"],
  [/\.h5$/i, "DeepLabCut's table"],
  [/\.csv$/i, "table (CSV)"],
  [/\.parquet$/i, "table (Parquet)"],
  [/\.nwb$/i, "NWB file"],
  [/\.dlcp$/i, "poses for the player"],
  [/\.svg$/i, "picture (SVG)"],
  [/\.(png|jpe?g)$/i, "picture"],
  [/\.toml$/i, "calibration"],
  [/\.pickle$/i, "pickle"],
  [/\.zip$/i, "archive"],
];

export function isVideo(file: { content_type: string; filename: string }): boolean {
  return VIDEO.test(file.content_type) || VIDEO.test(file.filename);
}

/** Whether an analysis has made it, rather than a user brought it. */
export function isMade({ origin }: StoredFile): boolean {
  return origin !== "upload" && origin !== "path";
}

/** Whether a file is to be shown. Videos that were made, labelled ones, are no videos to be analysed. */
export function shownBy(file: StoredFile, filter: FileFilter, typed: string): boolean {
  if (filter === "videos" && (!isVideo(file) || isMade(file))) return false;
  if (filter === "made" && !isMade(file)) return false;
  return found(typed, [...file.names, file.filename], file.file_id);
}

/** From how many characters on something typed may be the beginning of an id. */
const ID = 4;

/** Whether every word that was typed is in one of some texts, or begins an id. */
export function found(typed: string, texts: readonly string[], id: string): boolean {
  const text = texts.join("\n").toLowerCase();
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  return words.every((word) => text.includes(word) || (word.length >= ID && id.startsWith(word)));
}

/** What it is: of a video what an analysis has found in it, of anything else what its name says. */
export function kindOf(file: StoredFile): string {
  const { media } = file;
  if (media) {
    const rate = `${media.variable_rate ? "~" : ""}${Math.round(media.fps * 100) / 100} fps`;
    return `${duration(media.duration)} · ${media.width} × ${media.height} · ${rate}`;
  }
  const known = KINDS.find(([name]) => name.test(file.filename));
  return known?.[1] ?? (isVideo(file) ? "video" : file.content_type);
}

/** Where it comes from. */
export function comesFrom(file: StoredFile, analysis: (id: string) => Analysis | undefined): string {
  if (file.origin === "upload") return "uploaded";
  if (file.origin === "path") return "from the server's disk";
  return `made by ${analysis(file.origin)?.analysis ?? "an analysis"}`;
}
