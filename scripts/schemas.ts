/** Writes the schemas in docs/ from the types of the printed and read JSON: `npm run docs`. Unit tests fail if one is out of date. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createGenerator } from "ts-json-schema-generator";

const SCHEMAS = [
  {
    file: "docs/events.schema.json",
    title: "An event of docker-over-ssh --json, one per line",
    source: "src/output/events.ts",
    type: "TransferEvent",
  },
  {
    file: "docs/have.schema.json",
    title: "The images and layers of an engine, as printed by docker-over-ssh list",
    source: "src/have/have-list.ts",
    type: "HaveList",
  },
  {
    file: "docs/guard.schema.json",
    title: "The tenants of docker-over-ssh guard, in the format of the --config file",
    source: "server/src/guard/config/guard-config.ts",
    type: "GuardConfig",
  },
] as const;

const at = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

/** Returns the current and the expected text of each schema. */
export function readSchemas(): { file: string; is: string; shouldBe: string }[] {
  return SCHEMAS.map(({ file, title, source, type }) => {
    const schema = createGenerator({
      path: at(source),
      tsconfig: at("tsconfig.json"),
      type,
      topRef: false,
      skipTypeCheck: true, // `npm run check:types` does it
    }).createSchema(type);
    const shouldBe = `${JSON.stringify({ title, ...schema }, null, 2)}\n`;
    return { file, is: readFileSync(at(file), { encoding: "utf8", flag: "a+" }), shouldBe };
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const { file, shouldBe } of readSchemas()) writeFileSync(at(file), shouldBe);
}
