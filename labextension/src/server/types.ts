/** What travels between page and server: the shapes of the HTTP API, as its OpenAPI document has them. */

export type State = "queued" | "running" | "succeeded" | "failed" | "cancelled";

export interface Progress {
  done: number;
  total: number | null;
  unit: string;
  /** Units a second. */
  rate?: number | null;
  /** Seconds that are left. */
  eta?: number | null;
}

export interface Analysis {
  analysis_id: string;
  analysis: string;
  file_id: string[];
  parameters: Record<string, unknown>;
  state: State;
  progress: Progress | null;
  /** Place in the queue, from 1. */
  position: number | null;
  created: string;
  started: string | null;
  finished: string | null;
  owner: string;
  attempt: number;
}

export interface Media {
  container: string;
  codec: string;
  width: number;
  height: number;
  fps: number;
  frames: number;
  /** Seconds. */
  duration: number;
  variable_rate: boolean;
  sound: boolean;
  missing: string | null;
  notes: string[];
}

export interface StoredFile {
  file_id: string;
  filename: string;
  names: string[];
  content_type: string;
  /** Bytes. */
  size: number;
  created: string;
  /** `upload`, `path`, or the id of the analysis that made it. */
  origin: string;
  media: Media | null;
}

export interface Model {
  name: string;
  kind: "2d" | "3d";
  task: string;
  bodyparts: string[];
  individuals: string[];
  skeleton: [string, string][];
  cameras: string[];
  /** Of a 3D project whose cameras are calibrated. */
  calibration?: { error: number | null; unit: string; source: string } | null;
  net_type?: string;
  snapshots?: { name: string; shuffle: number }[];
  problem: string | null;
}

/** JSON Schema, as far as pydantic writes it of parameters. */
export interface JsonSchema {
  type?: string | string[];
  title?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  const?: unknown;
  anyOf?: JsonSchema[];
  oneOf?: JsonSchema[];
  $ref?: string;
  $defs?: Record<string, JsonSchema>;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  items?: JsonSchema;
  prefixItems?: JsonSchema[];
  additionalProperties?: boolean | JsonSchema;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  minItems?: number;
  maxItems?: number;
  minLength?: number;
  pattern?: string;
  format?: string;
  examples?: unknown[];
}

export interface AnalysisDescription {
  summary: string;
  inputs: { at_least: number; at_most: number | null };
  model_kind: "2d" | "3d" | null;
  by_camera: boolean;
  parameters: JsonSchema;
  /** What the fields of its result mean. */
  results: Record<string, string>;
}

export type Schema = Record<string, AnalysisDescription>;

export interface Status {
  worker: { alive: boolean; state: string | null; analysis_id: string | null; message: string | null };
  engine: Record<string, unknown> | null;
  queue: Record<State, number>;
  devices: unknown[] | null;
  /** Bytes. */
  disk: { free: number; used: number; quota: number | null; reserve: number };
  versions: Record<string, string | null>;
}

export type Result = Record<string, unknown>;

/** A resumable upload of which something is missing. */
export interface Unfinished {
  upload_id: string;
  filename: string;
  /** Bytes in all, and bytes that have arrived. */
  size: number;
  offset: number;
  created: string;
  expires: string | null;
}

/** Why an analysis has no result. */
export interface Failure {
  type: string;
  message: string;
  hint: string;
}

/** What a refusal says: a sentence that says what to do, and a code for programs. */
export interface RefusalBody {
  message: string;
  reason: string;
  errors?: { field: string; message: string }[];
  error?: Failure;
  matches?: string[];
  [more: string]: unknown;
}
