/** Writes docs/events.schema.json from the types of the events: `npm run docs`. A unit test fails if the schema is out of date. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createGenerator } from "ts-json-schema-generator";

const SCHEMA = fileURLToPath(new URL("../docs/events.schema.json", import.meta.url));

/** Returns docs/events.schema.json as it is, and as it should be. */
export function readSchema(): { is: string; shouldBe: string } {
  const schema = createGenerator({
    path: fileURLToPath(new URL("../src/output/events.ts", import.meta.url)),
    tsconfig: fileURLToPath(new URL("../tsconfig.json", import.meta.url)),
    type: "TransferEvent",
    topRef: false,
    skipTypeCheck: true, // `npm run check:types` does it
  }).createSchema("TransferEvent");
  const title = "An event of docker-over-ssh --json, one a line";
  return { is: readFileSync(SCHEMA, "utf8"), shouldBe: `${JSON.stringify({ title, ...schema }, null, 2)}\n` };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(SCHEMA, readSchema().shouldBe);
