/** What a result is made of: sentences to be read first, files, pictures, numbers, and where it all comes from. */

import type { Result, StoredFile } from "../../server/types";
import { count } from "../parts/wording";

export interface ResultFile {
  /** The field of the result: `csv_file`. */
  field: string;
  fileId: string;
  meaning: string;
}

export interface Fact {
  field: string;
  label: string;
  text: string;
  meaning: string;
}

export interface Contents {
  notes: string[];
  warnings: string[];
  files: ResultFile[];
  facts: Fact[];
  /** Those that are there to be looked up. */
  details: Fact[];
  provenance: unknown;
}

/** Fields that are told elsewhere, or by the files themselves. */
const ELSEWHERE = new Set(["notes", "warnings", "provenance"]);
/** What people look for first. */
const FIRST = ["frames", "fps", "duration", "found", "reprojection_error", "error", "bodyparts", "individuals"];
/** What is there to be looked up: of the video, of the programs, and what was asked for. */
const LATER = new Set([
  ...["width", "height", "codec", "variable_rate", "rows", "scorer", "model", "device", "deeplabcut_version"],
  ...["torch_version", "poses_from", "points_from", "skeleton", "pcutoff", "method", "individual_order", "cameras"],
  ...["frame_offset", "analysed_parts", "calibration", "axes", "unit", "unreadable_frames"],
]);

/** Take a result apart. @param meanings What its fields mean, as GET /schema says. */
export function contents(result: Result, meanings: Record<string, string>): Contents {
  const found: Contents = {
    notes: [],
    warnings: [],
    files: [],
    facts: [],
    details: [],
    provenance: result.provenance ?? null,
  };
  found.notes = sentences(result.notes);
  found.warnings = sentences(result.warnings);
  for (const [field, value] of Object.entries(result)) {
    if (ELSEWHERE.has(field) || value === null) continue;
    const meaning = meaningOf(field, meanings);
    if (field.endsWith("_file")) {
      if (typeof value === "string") found.files.push({ field, fileId: value, meaning });
      continue;
    }
    const text = told(value);
    const fact = { field, label: labelOf(field), text, meaning };
    if (text) (LATER.has(field) || /^.+_(scorer|frames)$/.test(field) ? found.details : found.facts).push(fact);
  }
  // Files are in the order in which they are described: that of each refers to the one before.
  const described = Object.keys(meanings);
  const order = ({ meaning }: ResultFile): number => described.findIndex((each) => meanings[each] === meaning);
  found.files.sort((a, b) => order(a) - order(b));
  const place = ({ field }: Fact): number => (FIRST.includes(field) ? FIRST.indexOf(field) : FIRST.length);
  found.facts.sort((a, b) => place(a) - place(b));
  return found;
}

/** Notes are texts; warnings have a message among other things. */
function sentences(value: unknown): string[] {
  if (!Array.isArray(value)) return [];
  return value
    .map((each: unknown) => (isObject(each) && typeof each.message === "string" ? each.message : each))
    .filter((each): each is string => typeof each === "string");
}

/** Return what a field means: by its name, by one of several (`width, height`), or by a pattern (`<camera>_h5_file`). */
export function meaningOf(field: string, meanings: Record<string, string>): string {
  let best = { length: 0, meaning: "" };
  for (const [names, meaning] of Object.entries(meanings)) {
    for (const name of names.split(/,\s*/)) {
      if (name === field) return meaning;
      // Of several patterns the one that says most: <camera>_filtered_h5_file is no <camera>_h5_file.
      if (name.includes("<") && name.length > best.length && patternOf(name).test(field)) {
        best = { length: name.length, meaning };
      }
    }
  }
  return best.meaning;
}

function patternOf(name: string): RegExp {
  return new RegExp(`^${name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replace(/<[^>]+>/g, ".+")}$`);
}

function labelOf(field: string): string {
  const words = field.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** How a value is read by people; "" where there is nothing to say. What is nested deeper is for programs. */
export function told(value: unknown): string {
  if (typeof value === "number") return Number.isInteger(value) ? count(value) : String(rounded(value));
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return list(value);
  if (!isObject(value)) return "";
  return Object.entries(value)
    .map(([key, each]) => [key.replaceAll("_", " "), isObject(each) ? "" : told(each)])
    .filter(([, text]) => text)
    .map(([key, text]) => `${key} ${text}`)
    .join(" · ");
}

/** Pairs, of a skeleton or of limits, stand together. */
function list(values: unknown[]): string {
  const nested = values.some((each) => Array.isArray(each));
  return values
    .map((each) => (Array.isArray(each) ? each.map(told).join("–") : told(each)))
    .filter(Boolean)
    .join(nested ? " · " : ", ");
}

function rounded(value: number): number {
  return Number(Math.abs(value) >= 100 ? value.toFixed(1) : value.toPrecision(4));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export type Shown = "picture" | "video" | null;

/** How a file can be shown in place. */
export function shownAs(file: Pick<StoredFile, "filename" | "content_type"> | undefined): Shown {
  if (!file) return null;
  if (/^image\/(png|jpeg|svg\+xml|webp)/.test(file.content_type) || /\.(png|jpe?g|svg)$/i.test(file.filename)) {
    return "picture";
  }
  return /^video\/(mp4|webm)/.test(file.content_type) || /\.(mp4|webm)$/i.test(file.filename) ? "video" : null;
}

/** The Python, two lines, with which the next cell has the poses, or the points in space; null where there are none. */
export function asDataFrame(analysisId: string, result: Result): string | null {
  const has = (field: string): boolean => typeof result[field] === "string";
  if (!has("h5_file") && !has("poses_file") && !("poses_from" in result)) return null;
  const method = has("quality_file") || "reprojection_error" in result ? "points" : "poses";
  return `from dlc_jupyter import Client\n${method} = Client().analysis("${analysisId.slice(0, 12)}").${method}()`;
}
