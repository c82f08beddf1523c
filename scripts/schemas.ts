/** Writes the schemas in docs/ from the types of what is printed or read as JSON: `npm run docs`. Unit tests fail if one is out of date. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createGenerator } from "ts-json-schema-generator";

const SCHEMAS = [
  {
    file: "docs/events.schema.json",
    title: "An event of docker-over-ssh --json, one a line",
    source: "src/output/events.ts",
    type: "TransferEvent",
  },
  {
    file: "docs/have.schema.json",
    title: "What an engine has, as docker-over-ssh list prints it",
    source: "src/have/have-list.ts",
    type: "HaveList",
  },
  {
    file: "docs/guard.schema.json",
    title: "The tenants of docker-over-ssh guard, as the file of --config",
    source: "server/src/guard/config/guard-config.ts",
    type: "GuardConfig",
  },
] as const;

const at = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

/** Returns each schema as it is, and as it should be. */
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
