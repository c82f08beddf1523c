/** Writes the tables of calls and rules in docs/guard.md from the guard's source: `npm run docs`. A unit test fails if one is out of date. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { CALLS } from "../server/src/guard/calls/table.ts";
import { readRules } from "./guard/rules.ts";

const PAGE = new URL("../docs/guard.md", import.meta.url);
const SOURCE = fileURLToPath(new URL("../server/src/guard", import.meta.url));

/** Returns the current and the expected docs/guard.md. */
export function readGuardPage(): { is: string; shouldBe: string } {
  const is = readFileSync(PAGE, "utf8");
  return { is, shouldBe: replaced(replaced(is, "calls", callTable()), "rules", ruleTable()) };
}

function replaced(page: string, name: string, table: string): string {
  const [begin, end] = [`<!-- ${name}: written by \`npm run docs\` from the source -->\n`, `\n<!-- end of ${name} -->`];
  const [before, rest] = page.split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined)
    throw new Error(`docs/guard.md has no place for the table of ${name}`);
  return `${before}${begin}\n${table}\n${end}${after}`;
}

function callTable(): string {
  return table(
    ["call", "rule", "", "query"],
    CALLS.map(({ method, path, rule, does, query }) => [
      `\`${method} ${path}\``,
      `\`${rule}\``,
      does,
      Object.keys(query)
        .map((key) => `\`${key}\``)
        .join(", "),
    ]),
  );
}

function ruleTable(): string {
  const calls = new Set(CALLS.map(({ rule }) => rule));
  return table(
    ["rule", "message or reason"],
    [...readRules(SOURCE, calls)]
      .filter(([rule]) => !calls.has(rule))
      .map(([rule, sentence]) => [`\`${rule}\``, sentence]),
  );
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`.replaceAll("|  |", "| |");
  return [line(heads), `|${heads.map(() => "---").join("|")}|`, ...rows.map(line)].join("\n");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(PAGE, readGuardPage().shouldBe);
