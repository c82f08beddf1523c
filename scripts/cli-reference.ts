/** Writes the table of arguments and options in docs/cli.md: `npm run docs`. A unit test fails if the table is out of date. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { EXPLAIN, GUARD } from "../server/src/commands/guard-options.ts";
import { SERVE } from "../server/src/commands/serve-options.ts";
import { TOKEN } from "../server/src/commands/token-options.ts";
import { buildProgram, commandsForPeople } from "../src/cli.ts";

const PAGE = new URL("../docs/cli.md", import.meta.url);
const BEGIN = "<!-- Written by `npm run docs` from the command definitions: change the descriptions there. -->\n";
const END = "\n<!-- End of what `npm run docs` writes. -->";

/** Returns the current and the expected docs/cli.md. */
export function readPage(): { is: string; shouldBe: string } {
  const is = readFileSync(PAGE, "utf8");
  const [before, after] = [is.split(BEGIN)[0], is.split(END)[1]];
  return { is, shouldBe: `${before}${BEGIN}\n${table()}\n${END}${after}` };
}

/** Returns a row for each argument and option, with the commands that accept it; several rows if commands describe it differently. */
function table(): string {
  const rows = new Map<string, Map<string, string[]>>();
  for (const command of commandsForPeople(buildProgram(() => {}, {}))) {
    for (const { term, description } of [
      ...command.registeredArguments.map((argument) => ({ term: argument.name(), description: argument.description })),
      ...command.options.map(({ flags, description }) => ({ term: flags, description })),
    ]) {
      const descriptions = rows.get(term) ?? new Map<string, string[]>();
      rows.set(term, descriptions);
      descriptions.set(description, [...(descriptions.get(description) ?? []), command.name()]);
    }
  }
  const lines = [...rows].flatMap(([term, descriptions]) =>
    Array.from(
      descriptions,
      ([description, commands]) => `| \`${term}\` | ${commands.join(", ")} | ${description.replaceAll("|", "\\|")} |`,
    ),
  );
  return ["| | command | |", "|---|---|---|", ...lines, ...serverTables()].join("\n");
}

/** Returns a table for each command of the server package. */
function serverTables(): string[] {
  return [SERVE, TOKEN, GUARD, EXPLAIN].flatMap(({ name, arguments: words = [], options }) => [
    "",
    `### ${name.replace("docker-over-ssh ", "")}`,
    "",
    "| | |",
    "|---|---|",
    ...[...words, ...options.map(({ flags, description }) => ({ term: flags, description }))].map(
      ({ term, description }) => `| \`${term.replace(/^<(.*)>$/, "$1")}\` | ${description.replaceAll("|", "\\|")} |`,
    ),
  ]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(PAGE, readPage().shouldBe);
