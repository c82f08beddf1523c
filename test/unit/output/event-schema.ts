import { readFileSync } from "node:fs";
import { Ajv } from "ajv";

const schema = JSON.parse(readFileSync(new URL("../../../docs/events.schema.json", import.meta.url), "utf8")) as object;
const validate = new Ajv({ strict: false }).compile(schema);

/** Whether docs/events.schema.json describes an event, as it is printed. */
export function isInSchema(event: unknown): boolean {
  return validate(JSON.parse(JSON.stringify(event)));
}
