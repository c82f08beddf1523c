import { readFileSync } from "node:fs";
import { Ajv } from "ajv";

const schema = JSON.parse(readFileSync(new URL("../../../docs/events.schema.json", import.meta.url), "utf8")) as object;
const validate = new Ajv({ strict: false }).compile(schema);

/** Returns whether docs/events.schema.json describes a printed event. */
export function isInSchema(event: unknown): boolean {
  return validate(JSON.parse(JSON.stringify(event)));
}
