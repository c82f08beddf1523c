/** Writes man/docker-over-ssh.1 from the definitions of the commands: `npm run docs`. A unit test fails if the page is out of date. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { buildProgram, commandsForPeople } from "../src/cli.ts";

export const MAN_PAGE = new URL("../man/docker-over-ssh.1", import.meta.url);
const STATUS_PAGE = new URL("../docs/exit-status.md", import.meta.url);

/** Returns the page in the man macros (man(7)). It contains no date and no version, so that it changes only with the commands. */
export function manPage(): string {
  const program = buildProgram(() => {}, {});
  const commands = commandsForPeople(program);
  return [
    `.TH DOCKER\\-OVER\\-SSH 1 "" "docker\\-over\\-ssh"`,
    ".SH NAME",
    `docker\\-over\\-ssh \\- ${text(program.description().replace(/\.$/, ""))}`,
    ".SH SYNOPSIS",
    ...commands.flatMap((command) => [
      `.B docker\\-over\\-ssh ${text(command.name())}`,
      `.RI ${inQuotes(command.usage())}`,
      ".br",
    ]),
    ".SH DESCRIPTION",
    text(program.description()),
    ".SH COMMANDS",
    ...commands.flatMap((command) => [
      `.SS ${text(command.name())}`,
      text(command.description()),
      ...command.registeredArguments.flatMap((argument) => entry(argument.name(), argument.description)),
      ...command.options.flatMap(({ flags, description }) => entry(flags, description)),
    ]),
    ".SH EXIT STATUS",
    ...statuses().flatMap(([status, words]) => entry(status, words)),
    ".SH SEE ALSO",
    ".BR ssh (1),",
    ".BR docker (1)",
    "",
  ].join("\n");
}

/** Returns an item with its explanation. */
function entry(term: string, words: string): string[] {
  return [".TP", `.B ${inQuotes(term)}`, text(words)];
}

/** Escapes text, so that no line begins with a control character, and hyphens stay hyphens that a reader can copy. */
function text(words: string): string {
  const escaped = words
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll("`", "\\(ga")
    .replaceAll("~", "\\(ti")
    .replaceAll("^", "\\(ha");
  return escaped
    .replaceAll("'", "\\(aq")
    .replaceAll(/[^\x00-\x7f]/gu, (character) => `\\[u${codeOf(character)}]`)
    .replace(/^\./, "\\&.");
}

/** At least four hexadecimal digits (groff_char(7)). */
function codeOf(character: string): string {
  return (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
}

/** Returns an argument of a macro. */
function inQuotes(words: string): string {
  return `"${text(words).replaceAll('"', "\\(dq")}"`;
}

/** Returns the rows of the table in docs/exit-status.md: status and cause. */
function statuses(): [string, string][] {
  const rows = readFileSync(STATUS_PAGE, "utf8").matchAll(/^\| (\d[^|]*?) *\|[^|]*\| *([^|]*?) *\|/gm);
  return [...rows].map(([, status = "", cause = ""]) => [status, cause.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  mkdirSync(new URL(".", MAN_PAGE), { recursive: true });
  writeFileSync(MAN_PAGE, manPage());
}
