import { expect, test } from "vitest";
import { rewriteDockerfile } from "../../../../src/guard/classic/dockerfile/rewrite-dockerfile.ts";
import { writeLine } from "../../../../src/guard/classic/dockerfile/write-line.ts";
import { tenantOf } from "../../../fixtures/guard/tenants.ts";

const rewrite = async (text: string, target?: string) => {
  const { policy } = tenantOf("a");
  const resolve = async () => ({ id: "sha256:own", env: [], triggers: [], labelBytes: 2 });
  return await rewriteDockerfile(text, { target, buildArgs: {}, policy, tenant: "a", resolve });
};

test("accepts a plain Dockerfile", async () => {
  expect((await rewrite("FROM own\nLABEL a=b\nRUN a")).steps).toEqual(["FROM own", undefined, "LABEL a=b", "RUN a"]);
});

test.each<[string, string]>([
  ["files of this stage", "FROM own AS a\nCOPY --from=0 / /"],
  ["the number of a missing stage", "FROM own\nCOPY --from=7 / /"],
  ["--from twice", "FROM own\nCOPY --from=own --from=secret / /"],
  ["an empty base", "FROM ${X}"],
  ["a base that cannot be expanded", "ARG A=${B:?x}\nFROM $A"],
  ["a variable without its end", "FROM ${A"],
  ["a variable whose default has no end", "FROM ${A:-x"],
  ["a variable without its modifier", "FROM ${A:"],
  ["a variable with a pattern", "ARG A=own\nFROM ${A#x}"],
  ["a variable without a name", "FROM ${}own"],
  ["a quote without its end", "FROM 'own"],
  ["a double quote without its end", 'FROM "own'],
  ["variables within variables", `FROM ${"${A:-".repeat(60)}own${"}".repeat(60)}`],
  ["two bases", "FROM own own"],
  ["a stage with two names", "FROM own AS a b"],
  ["a stage without a name", "FROM own AS"],
  ["a stage that is named without AS", "FROM own IS a"],
  ["a stage whose name is a number", "FROM own AS 1"],
  ["FROM without a base", "FROM"],
  ["an invalid platform", "FROM --platform=linux;x own"],
  ["an address that cannot be expanded", "FROM own\nADD http://x/${A:?x} /x"],
  ["a label without a value", "FROM own\nLABEL a"],
  ["a label among others without a value", "FROM own\nLABEL a=b c"],
  ["a label without a key", "FROM own\nLABEL a=b =c"],
  ["LABEL without a label", "FROM own\nLABEL"],
  ["a label with a flag", "FROM own\nLABEL --x a=b"],
  ["a flag with a non-ASCII letter", "FROM own\nCOPY --chown=\u00e9 / /"],
  ["a flag with a quote", "FROM own\nCOPY --chown=\\' / /"],
  ["files without a destination", "FROM own\nCOPY /x"],
  ["FROM after an escape that other spaces hide", "FROM own\nRUN a \\\v\nFROM secret"],
  ["a long instruction without letters", `FROM own\nRUN ${`${"-".repeat(40_000)}\\\n`.repeat(2)}`],
  ["a line that is too long", `FROM own\nRUN ${"x".repeat(70_000)}`],
  ["too many instructions", `FROM own\n${"RUN a\n".repeat(2000)}`],
  ["an invalid escape token", "# escape=x\nFROM own"],
  ["a label with a variable in its key", "FROM own\nLABEL $X=b"],
  ["an unknown instruction", "FROM own\nINCLUDE x"],
  ["an instruction with a non-ASCII letter", "FROM own\nL\u0130NK x"],
  ["an instruction whose upper case is ASCII", "FROM own\n\u017Ftopsignal x"],
  ["an instruction before FROM", "RUN a\nFROM own"],
  ["a Dockerfile without instructions", "# nothing\n"],
  ["a flag that FROM does not have", "FROM --network=host own"],
  ["two names of a stage", "FROM own AS a\nFROM own AS A"],
  ["two directives of a kind", "# escape=`\n# escape=\\\nFROM own"],
  ["a list with a number", 'FROM own\nCOPY ["a", 1]'],
])("refuses %s", async (_, text) => {
  await expect(rewrite(text)).rejects.toMatchObject({ name: "Refusal", rule: "dockerfile.invalid", statusCode: 400 });
});

test("refuses a target that does not exist", async () => {
  await expect(rewrite("FROM own AS a", "b")).rejects.toMatchObject({ rule: "dockerfile.invalid" });
});

test("does not write an instruction with several lines", () => {
  expect(() => writeLine("RUN a\nFROM secret", "\\", 1)).toThrow(
    expect.objectContaining({ rule: "dockerfile.invalid" }),
  );
});

test.each([
  ["FROM own\nLABEL", "line 2: LABEL requires at least one argument"],
  ["FROM own\nLABEL a", "line 2: LABEL must have two arguments"],
  ["FROM", "line 1: FROM requires either one or three arguments"],
  ["FROM ${A:", "missing '}'"],
])("reports %j with docker's message", async (text, words) => {
  await expect(rewrite(text)).rejects.toThrow(words);
});
