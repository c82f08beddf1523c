import { expect, test } from "vitest";
import { readPage } from "../../scripts/cli-reference.ts";
import { buildProgram, commandsForPeople } from "../../src/cli.ts";

const { is, shouldBe } = readPage();

test("docs/cli.md contains the arguments and options of the command definitions (`npm run docs` updates it)", () => {
  expect(shouldBe).toContain("`--preserve-digest`");
  expect(is).toBe(shouldBe);
});

test.each(commandsForPeople(buildProgram(() => {}, {})).map((command) => ({ command, name: command.name() })))(
  "docs/cli.md describes the arguments and options of $name as its --help does",
  ({ command, name }) => {
    const rows = is.split("\n").flatMap((line) => {
      const [, term, commands, description] = /^\| `(.*?)` \| (.*?) \| (.*) \|$/.exec(line) ?? [];
      return commands?.split(", ").includes(name) ? [{ term, description: description?.replaceAll("\\|", "|") }] : [];
    });
    const { registeredArguments, options } = command;
    expect(new Set(rows)).toEqual(
      new Set([
        ...registeredArguments.map((argument) => ({ term: argument.name(), description: argument.description })),
        ...options.map(({ flags, description }) => ({ term: flags, description })),
      ]),
    );
  },
);
