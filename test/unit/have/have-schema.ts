import { readFileSync } from "node:fs";
import { Ajv } from "ajv";

const schema = JSON.parse(readFileSync(new URL("../../../docs/have.schema.json", import.meta.url), "utf8")) as object;
const validate = new Ajv({ strict: false }).compile(schema);

/** Returns whether docs/have.schema.json describes a printed list. */
export function isInHaveSchema(list: unknown): boolean {
  return validate(JSON.parse(JSON.stringify(list)));
}
