import { describe, expect, test } from "vitest";
import { decodeDockerfile } from "../../../../src/guard/classic/dockerfile/logical-lines.ts";
import { rewriteDockerfile, type Base } from "../../../../src/guard/classic/dockerfile/rewrite-dockerfile.ts";
import type { Policy } from "../../../../src/guard/policy/policy.ts";
import { Refusal } from "../../../../src/guard/refusal.ts";

const policy: Policy = {
  bases: [],
  pulls: [],
  pushes: [],
  sources: ["https://files.example.com/"],
  sharesCache: false,
  hasNetwork: true,
};
/** The tenant's images */
const IMAGES: Readonly<Record<string, Partial<Base>>> = {
  own: { env: ["VERSION=9", "URL=http://169.254.169.254/"] },
  "own:1": {},
  trigger: { triggers: ["RUN make"] },
  "trigger-from": { triggers: ["COPY --from=secret / /"] },
  "trigger-from-escaped": { triggers: ["COPY --fr\\om=secret / /"] },
  "trigger-add": { triggers: ["ADD http://169.254.169.254/ /x"] },
  "trigger-add-variable": { triggers: ["ADD $URL /x"] },
  "trigger-add-quoted": { triggers: ['ADD "http://169.254.169.254/" /x'] },
  "trigger-lines": { triggers: ["RUN true\nADD http://169.254.169.254/ /x"] },
  "trigger-heredoc": { triggers: ["RUN cat <<EOF"] },
  "trigger-empty": { triggers: ["# nothing"] },
  "trigger-nul": { triggers: ["RUN a\0"] },
  "trigger-continued": { triggers: ["RUN a \\"] },
  "trigger-from-trigger": { triggers: ["ONBUILD RUN a"] },
  "trigger-many": { triggers: Array.from({ length: 101 }, () => "RUN make") },
  "many-variables": { env: Array.from({ length: 1001 }, (_, at) => `V${at}=`) },
  labelled: { labelBytes: 60_000 },
  "trigger-labels": { triggers: [`LABEL a=${"x".repeat(60_000)}`] },
  "trigger-label": { triggers: ["LABEL docker-over-ssh.guard.tenant=b"] },
};

const resolve = async (given: string): Promise<Base> => {
  const found = IMAGES[given];
  if (found === undefined) throw new Refusal("base.refused", given);
  return { id: `sha256:${given}`, env: [], triggers: [], labelBytes: 2, ...found };
};
const rewrite = async (text: string, more: { target?: string; buildArgs?: Record<string, string> } = {}) => {
  const { target, buildArgs = {} } = more;
  return await rewriteDockerfile(text, { target, buildArgs, policy, tenant: "a", resolve });
};
/** Returns the rewritten lines without the tenant's label, with the names of stages as numbers. */
const written = async (...given: Parameters<typeof rewrite>) => {
  const { text } = await rewrite(...given);
  return text
    .trimEnd()
    .split("\n")
    .filter((line) => !/^LABEL (?:docker-over-ssh\.guard\.tenant=\d+ )?docker-over-ssh\.guard\.tenant=a$/.test(line))
    .map((line) => line.replaceAll(/s(\d+)-[0-9a-f]{16}/g, "s$1"));
};

describe("rewrites", () => {
  test.each<[string, string, string[]]>([
    ["an image by its ID", "FROM own", ["FROM sha256:own AS s0"]],
    ["instructions in any case", "from own as X\nrUn a  b", ["FROM sha256:own AS s0", "RUN a  b"]],
    ["a byte order mark", "\uFEFFFROM own", ["FROM sha256:own AS s0"]],
    ["lines that end with \\r\\n", "FROM own\r\nRUN a \\\r\n  b\r\n", ["FROM sha256:own AS s0", "RUN a   b"]],
    [
      "a Dockerfile without its comments and syntax",
      "# syntax=evil/x\n#c\nFROM own\n # c\nRUN a \\\n# b\n\n c",
      ["FROM sha256:own AS s0", "RUN a  c"],
    ],
    ["FROM in several lines", "FR\\\nOM \\\n own", ["FROM sha256:own AS s0"]],
    [
      "another escape token",
      "# escape=`\nFROM own\nRUN a\\\nRUN b `\n c",
      ["# escape=`", "FROM sha256:own AS s0", "RUN a\\", "RUN b  c"],
    ],
    ["labels", "FROM own\nLABEL a=$VERSION", ["FROM sha256:own AS s0", "LABEL a=$VERSION"]],
    ["ARG before FROM", "ARG B=own\nFROM ${B:-x}", ["ARG B=own", "FROM sha256:own AS s0"]],
    ["the ARG of an ARG", "ARG A=ow\nARG B=${A}n\nFROM $B${C}", ["ARG A=ow", "ARG B=${A}n", "FROM sha256:own AS s0"]],
    ["${X:+y}", "ARG A=1\nFROM ${A:+own}${B:+x}", ["ARG A=1", "FROM sha256:own AS s0"]],
    ["a platform", "FROM --platform=linux/arm64 own", ["FROM --platform=linux/arm64 sha256:own AS s0"]],
    [
      "stages",
      "FROM own AS one\nFROM One\nCOPY --from=ONE /a /b\nCOPY --from=0 /a /b",
      ["FROM sha256:own AS s0", "FROM s0 AS s1", "COPY --from=0 /a /b", "COPY --from=0 /a /b"],
    ],
    [
      "files of an image",
      "FROM scratch\nCOPY --chown=1:1 --from=own:1 /a /b",
      ["FROM scratch AS s0", "COPY --chown=1:1 --from=sha256:own:1 /a /b"],
    ],
    [
      "a flag with an escape",
      "FROM scratch\nCOPY --fr\\om=own /a /b",
      ["FROM scratch AS s0", "COPY --from=sha256:own /a /b"],
    ],
    ["a list in JSON", 'FROM scratch\nCOPY ["a b", "/c/"]', ["FROM scratch AS s0", 'COPY ["a b","/c/"]']],
    [
      "a word that looks like a flag",
      "FROM scratch\nCOPY -- --from=own /a /b",
      ["FROM scratch AS s0", 'COPY ["--from=own","/a","/b"]'],
    ],
    [
      "words that a space turns into JSON",
      'FROM scratch\nCOPY [\v"--from=x","/b"]',
      ["FROM scratch AS s0", 'COPY ["[","\\"--from=x\\",\\"/b\\"]"]'],
    ],
    [
      "an allowed address",
      "FROM scratch\nARG V=1\nADD https://files.example.com/$V /x",
      ["FROM scratch AS s0", "ARG V=1", "ADD https://files.example.com/1 /x"],
    ],
    ["a path that stays a path", "FROM own\nADD $VERSION.tar /x", ["FROM sha256:own AS s0", "ADD ./$VERSION.tar /x"]],
    ["quotes in a path", 'FROM scratch\nADD "a b" /x', ["FROM scratch AS s0", 'ADD ["./\\"a","b\\"","/x"]']],
    ["a trigger", "FROM trigger\nONBUILD ADD $X /y", ["FROM sha256:trigger AS s0", "ONBUILD ADD ./$X /y"]],
    [
      "a here-string, a shift",
      "FROM scratch\nRUN cat <<<x; echo $((1<<2)) '<< a'; x=$((1 << 2)); cat <<-",
      ["FROM scratch AS s0", "RUN cat <<<x; echo $((1<<2)) '<< a'; x=$((1 << 2)); cat <<-"],
    ],
    ["labels of the tenant", 'FROM scratch\nLABEL "a.b"="c d" e=$F', ["FROM scratch AS s0", 'LABEL "a.b"="c d" e=$F']],
  ])("%s", async (_, text, lines) => {
    expect(await written(text)).toEqual(lines);
  });

  test("each stage with the tenant's label after FROM", async () => {
    const { text, steps } = await rewrite("FROM own AS a\nRUN x\nFROM a");
    expect(text.match(/^FROM .*\nLABEL docker-over-ssh\.guard\.tenant=a$/gm)).toHaveLength(2);
    expect(steps).toEqual(["FROM own AS a", undefined, "RUN x", "FROM a", undefined]);
  });

  test("variables with --build-arg rather than a default, and omits stages after the target", async () => {
    const text = "ARG B=secret\nFROM $B AS one\nFROM secret AS two";
    expect(await written(text, { target: "ONE", buildArgs: { B: "own" } })).toEqual([
      "ARG B=secret",
      "FROM sha256:own AS s0",
    ]);
  });

  test("an instruction that is longer than a line", async () => {
    const { text } = await rewrite(
      `FROM scratch\n${Array.from({ length: 30 }, () => `${"x".repeat(5000)} \\\n`).join("")} y`.replace("x", "RUN x"),
    );
    const lines = text.split("\n");
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(65_000);
    expect(lines.slice(2, -1).every((line, index, all) => line.endsWith("\\") === index < all.length - 1)).toBe(true);
  });
});

const manyVariables = (): string => Array.from({ length: 1001 }, (_, at) => ` V${at}=`).join("");

/** Returns instructions, each with a long run of characters. They take minutes if the time grows with the square of the length. */
const each = (row: string): string => `FROM own\n${`RUN ${row}\n`.repeat(18)}`;

describe("reads quickly long runs of", () => {
  test.each([
    ["spaces", each(`a${" ".repeat(55_000)}b`)],
    ["carriage returns", each(`a${"\r".repeat(55_000)}b`)],
    ["digits before a here-string", each(`\${A} ${"1".repeat(55_000)} <<<x`)],
  ])("%s", async (_, text) => {
    expect((await rewrite(text)).steps).toHaveLength(20);
  });
});

describe("accepts", () => {
  test.each([
    ["an option in quotes, which is a path", 'FROM own\nCOPY "--from=secret" / /'],
    [
      "a value that doubles",
      `FROM own\n${Array.from({ length: 30 }, () => "ENV A=${A}${A}x\n").join("")}ADD $A http://x`,
    ],
  ])("%s", async (_, text) => {
    await expect(rewrite(text)).resolves.toBeDefined();
  });
});

describe("refuses", () => {
  test.each<[string, string, string]>([
    ["another image", "FROM secret", "base.refused"],
    ["another image in another stage", "FROM own\nFROM secret", "base.refused"],
    ["files of another image", "FROM own\nCOPY --from=secret / /", "base.refused"],
    ["files of another image, with an escape", "FROM own\nCOPY --fr\\om=secret / /", "base.refused"],
    ["files of a later stage", "FROM own\nCOPY --from=later / /\nFROM own AS later", "base.refused"],
    ["--from with a variable", "ARG X=own\nFROM own\nCOPY --from=$X / /", "dockerfile.from"],
    [
      "files of an image whose name begins like a stage's",
      "FROM own AS Secret\nFROM own\nCOPY --from=secret2 / /",
      "base.refused",
    ],
    ["FROM after a line that is no comment", "FROM own\nRUN a \\\n#\\\nFROM secret\nFROM secret", "base.refused"],
    ["FROM after a character that is no escape", "# escape=`\nFROM own\nRUN a \\\nFROM secret", "base.refused"],
    ["a base in a variable", "ARG X=sec\nFROM ${X}ret", "base.refused"],
    ["an address", "FROM own\nADD http://169.254.169.254/ /x", "source.refused"],
    ["an address in a variable", "FROM own\nENV U=http://169.254.169.254/\nADD $U /x", "source.refused"],
    ["an address in the base's environment", "FROM own\nADD ${URL} /x", "source.refused"],
    ["an address in pieces", "FROM own\nARG A=ttp://x/\nADD h$A /x", "source.refused"],
    ["an address in quotes", 'FROM own\nADD "http://x/" /x', "source.refused"],
    ["an address in JSON", 'FROM own\nADD ["\\u0068ttp://x/", "/x"]', "source.refused"],
    ["an address with an escape", "FROM own\nADD h\\ttp://x/ /x", "source.refused"],
    [
      "an address that is expanded twice",
      "FROM own\nENV A='https://files.example.com/$B'\nADD $A /x",
      "dockerfile.add",
    ],
    ["ONBUILD ADD of an address with a variable", "FROM own\nONBUILD ADD http://x/$A /x", "dockerfile.add"],
    ["ONBUILD FROM", "FROM own\nONBUILD FROM secret", "dockerfile.invalid"],
    ["ONBUILD of the guard's label", "FROM own\nONBUILD LABEL docker-over-ssh.guard.tenant=b", "label.reserved"],
    ["a trigger without an instruction", "FROM trigger-empty", "dockerfile.trigger"],
    ["a trigger with a NUL", "FROM trigger-nul", "dockerfile.trigger"],
    ["a trigger with a continued line", "FROM trigger-continued", "dockerfile.trigger"],
    ["a trigger of a trigger", "FROM trigger-from-trigger", "dockerfile.invalid"],
    ["ONBUILD ADD of an address", "FROM own\nONBUILD ADD http://x/ /x", "source.refused"],
    ["ONBUILD COPY of an image", "FROM own\nONBUILD COPY --from=secret / /", "dockerfile.trigger"],
    ["a trigger with --from", "FROM trigger-from", "dockerfile.trigger"],
    ["a trigger with --from, escaped", "FROM trigger-from-escaped", "dockerfile.trigger"],
    ["a trigger with an address", "FROM trigger-add", "source.refused"],
    ["a trigger with a variable", "FROM trigger-add-variable", "dockerfile.trigger"],
    ["a trigger with quotes", "FROM trigger-add-quoted", "dockerfile.trigger"],
    ["a trigger of two lines", "FROM trigger-lines", "dockerfile.trigger"],
    ["a trigger with a here-document", "FROM trigger-heredoc", "dockerfile.heredoc"],
    ["a trigger with the guard's label", "FROM trigger-label", "label.reserved"],
    ["a here-document", "FROM own\nRUN cat <<EOF\nFROM secret\nEOF", "dockerfile.heredoc"],
    ["a here-document with a number", "FROM own\nRUN cat 3<<EOF\nEOF", "dockerfile.heredoc"],
    ["a shift that engines treat as a here-document", "FROM own\nRUN x=$((1 <<2))\n2))", "dockerfile.heredoc"],
    ["a here-document without tabs", "FROM own\nRUN cat <<-EOF\nEOF", "dockerfile.heredoc"],
    ["a here-document whose name is in quotes", "FROM own\nRUN cat <<' '\n ", "dockerfile.heredoc"],
    ["a here-document after a non-ASCII space", "FROM own\nRUN x\u0085<<EOF\nEOF", "dockerfile.heredoc"],
    ["a here-document after braces", "FROM own\nRUN a${X:-}<<EOF\nEOF", "dockerfile.heredoc"],
    ["COPY of a here-document", "FROM own\nCOPY <<EOF /x\nEOF", "dockerfile.heredoc"],
    // Each step is an image with all labels so far, which every list of the engine's images contains.
    ["large labels", `FROM own\n${`LABEL a=${"x".repeat(40_000)}\n`.repeat(2)}`, "dockerfile.labels"],
    [
      "labels that grow with variables",
      `FROM own\nENV A=${"x".repeat(2000)}\nLABEL a=${"$A".repeat(40)}`,
      "dockerfile.labels",
    ],
    ["a label whose value only the engine knows", "FROM own\nENV A=${VERSION#x}\nLABEL a=$A", "dockerfile.labels"],
    [
      "a label in hundreds of steps",
      `FROM own\nLABEL a=${"x".repeat(60_000)}\n${"ENV A=b\n".repeat(150)}`,
      "dockerfile.labels",
    ],
    ["labels of a base in hundreds of steps", `FROM labelled\n${"ENV A=b\n".repeat(150)}`, "dockerfile.labels"],
    [
      "labels of a trigger in hundreds of steps",
      `FROM trigger-labels\n${"ENV A=b\n".repeat(150)}`,
      "dockerfile.labels",
    ],
    ["the guard's label", "FROM own\nLABEL docker-over-ssh.guard.tenant=b", "label.reserved"],
    ["the guard's label in quotes", 'FROM own\nLABEL docker-over-ssh."guard".tenant=b', "label.reserved"],
    ["the guard's label in the old form", "FROM own\nLABEL docker-over-ssh.guard.tenant b", "label.reserved"],
    ["the guard's label after another", "FROM own\nLABEL a=b docker-over-ssh\\.guard.tenant=b", "label.reserved"],
    [
      "the guard's label after two ends of flags",
      "FROM own\nLABEL -- -- docker-over-ssh.guard.tenant=b",
      "dockerfile.invalid",
    ],
    ["more stages than the limit", "FROM own\n".repeat(257), "dockerfile.invalid"],
    ["more triggers than the limit", "FROM trigger-many", "dockerfile.invalid"],
    ["a base with more variables than the limit", "FROM many-variables", "dockerfile.invalid"],
    ["more variables than the limit", `FROM own\nENV${manyVariables()}`, "dockerfile.invalid"],
  ])("%s", async (_, text, rule) => {
    const error: unknown = await rewrite(text).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ name: "Refusal", rule });
  });

  test.each([
    ["NUL", Buffer.from("FROM own\0")],
    ["bytes that are not UTF-8", Buffer.from([0x46, 0xff])],
  ])("%s", (_, bytes) => {
    expect(() => decodeDockerfile(bytes)).toThrow(expect.objectContaining({ rule: "dockerfile.encoding" }));
  });
});
