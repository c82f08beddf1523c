import { readFileSync } from "node:fs";

/** The keywords of JSON Schema in docs/events.schema.json. */
export interface Schema {
  $ref?: string;
  anyOf?: readonly Schema[];
  const?: unknown;
  enum?: readonly unknown[];
  type?: "object" | "array" | "string" | "number" | "boolean";
  properties?: Readonly<Record<string, Schema>>;
  required?: readonly string[];
  items?: Schema;
  definitions?: Readonly<Record<string, Schema>>;
}

/** Set by the build of the command, which may be installed without docs/. */
declare const EVENT_SCHEMA: Schema;

/** Returns the schema of the events, the content of docs/events.schema.json. */
export function readEventSchema(): Schema {
  if (typeof EVENT_SCHEMA === "object") return EVENT_SCHEMA;
  return JSON.parse(readFileSync(new URL("../../docs/events.schema.json", import.meta.url), "utf8")) as Schema;
}
