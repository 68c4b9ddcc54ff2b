/** What a form has to ask for: the JSON Schema of an analysis's parameters as fields, and what was typed as values. */

import type { JsonSchema } from "../../server/types";

export type Kind = "text" | "number" | "integer" | "flag" | "choice" | "list" | "choices" | "mapping" | "model";

export interface Field {
  name: string;
  label: string;
  help: string;
  kind: Kind;
  required: boolean;
  /** Whether leaving it empty is a value of its own ("as in the project"). */
  optional: boolean;
  default: unknown;
  options: string[];
  minimum: number | undefined;
  maximum: number | undefined;
  above: number | undefined;
  below: number | undefined;
  /** Of a list: how its parts are typed. */
  part: "text" | "number" | "integer";
}

/** Parameters that most people set; the others are behind "More". */
const USUAL: Record<string, readonly string[]> = {
  video: ["model", "start", "stop"],
  label: ["model", "pcutoff", "draw_skeleton", "trailpoints", "displayedbodyparts", "filtered"],
  plot: ["model", "displayedbodyparts"],
  filter: ["model", "filtertype", "windowlength"],
  triangulate: ["model", "pcutoff", "filterpredictions"],
  label_3d: ["model", "pcutoff", "draw_skeleton", "trailpoints"],
};

/** Return the fields of a form, those that most people set first. */
export function fieldsOf(analysis: string, schema: JsonSchema): { usual: Field[]; more: Field[] } {
  const fields = Object.entries(schema.properties ?? {}).map(([name, property]) =>
    field(name, resolve(property, schema), schema.required?.includes(name) ?? false),
  );
  const usual = USUAL[analysis] ?? fields.filter((each) => each.required).map((each) => each.name);
  const isUsual = (each: Field): boolean => usual.includes(each.name) || each.required;
  return { usual: fields.filter(isUsual), more: fields.filter((each) => !isUsual(each)) };
}

/** Follow a reference, and take what is said of one way to give a value (`anyOf` with null) as said of the field. */
function resolve(property: JsonSchema, root: JsonSchema): JsonSchema & { optional?: boolean } {
  const name = property.$ref?.split("/").at(-1);
  const followed = name === undefined ? property : { ...root.$defs?.[name], ...property };
  const options = followed.anyOf ?? followed.oneOf;
  if (!options) return followed;
  const given = options.map((each) => resolve(each, root)).filter((each) => each.type !== "null");
  // Of several ways the richest: a list can be typed where a single value will do.
  const best = given.find((each) => each.type === "array" || each.type === "object") ?? given[0] ?? {};
  return { ...best, ...followed, optional: given.length < options.length };
}

function field(name: string, schema: JsonSchema & { optional?: boolean }, required: boolean): Field {
  const items = schema.items ?? schema.prefixItems?.[0] ?? {};
  return {
    name,
    label: labelOf(name),
    help: schema.description ?? "",
    kind: kindOf(name, schema, items),
    required,
    optional: (schema.optional ?? false) || !required,
    default: schema.default ?? null,
    options: (schema.enum ?? items.enum ?? []).map(String),
    minimum: schema.minimum,
    maximum: schema.maximum,
    above: schema.exclusiveMinimum,
    below: schema.exclusiveMaximum,
    part: items.type === "integer" ? "integer" : items.type === "number" ? "number" : "text",
  };
}

function kindOf(name: string, schema: JsonSchema, items: JsonSchema): Kind {
  if (name === "model") return "model";
  if (schema.enum) return "choice";
  switch (schema.type) {
    case "boolean":
      return "flag";
    case "integer":
      return "integer";
    case "number":
      return "number";
    case "array":
      return items.enum ? "choices" : "list";
    case "object":
      return "mapping";
    default:
      return "text";
  }
}

/** save_as_csv → "Save as csv" */
export function labelOf(name: string): string {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** How a value stands in its field. */
export function typed(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (Array.isArray(value)) return value.map((each) => typed(each)).join(", ");
  if (typeof value === "object") {
    return Object.entries(value)
      .map(([key, each]) => `${key}=${typed(each)}`)
      .join(", ");
  }
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** What is wrong with what was typed: the browser knows of numbers, the server of all else. */
export class Mistyped extends Error {}

/**
 * Return the value of what was typed; null where the field was left empty.
 *
 * @throws Mistyped A sentence that says what to type.
 */
export function valueOf(field: Field, text: string): unknown {
  const trimmed = text.trim();
  if (trimmed === "") {
    if (field.required) throw new Mistyped("This is needed.");
    return null;
  }
  switch (field.kind) {
    case "integer":
    case "number":
      return within(field, number(trimmed, field.kind === "integer"));
    case "flag":
      return trimmed === "true";
    case "list":
      return parts(trimmed).map((each) => (field.part === "text" ? each : number(each, field.part === "integer")));
    case "choices":
      return parts(trimmed);
    case "mapping":
      return Object.fromEntries(parts(trimmed).map((each) => pair(each)));
    default:
      return trimmed;
  }
}

function within({ minimum, maximum, above, below }: Field, value: number): number {
  if (above !== undefined && value <= above) throw new Mistyped(`This is more than ${above}.`);
  if (below !== undefined && value >= below) throw new Mistyped(`This is less than ${below}.`);
  if (minimum !== undefined && value < minimum) throw new Mistyped(`This is ${minimum} at least.`);
  if (maximum !== undefined && value > maximum) throw new Mistyped(`This is ${maximum} at most.`);
  return value;
}

function number(text: string, whole: boolean): number {
  const value = Number(text);
  if (!Number.isFinite(value) || (whole && !Number.isInteger(value))) {
    throw new Mistyped(`“${text}” is no ${whole ? "whole number" : "number"}.`);
  }
  return value;
}

function parts(text: string): string[] {
  return text
    .split(/[,;\n]/)
    .map((each) => each.trim())
    .filter(Boolean);
}

function pair(text: string): [string, unknown] {
  const [name, value] = text.split("=", 2).map((each) => each.trim());
  if (!name || !value) throw new Mistyped(`“${text}” is no pair: type camera-1=5, camera-2=3.`);
  return [name, Number.isFinite(Number(value)) ? Number(value) : value];
}
