import { describe, expect, test } from "vitest";
import { parseNamePattern, readName, refuseName } from "../../../src/factory/forced/name-patterns.ts";
import { publishedName } from "../../../src/factory/published-name.ts";
import { fullName, parseReference } from "../../../src/image/reference.ts";
import { parseCommandLine } from "../../../src/cli.ts";
import type { FactoryRequest } from "../../../src/factory/factory-request.ts";

describe("names that a key may build", () => {
  test.each<[string, string, boolean]>([
    ["team/*", "team/app", true],
    ["team/*", "team/app:v2", true],
    ["team/*", "docker.io/team/app:v2", true],
    ["team/*", "index.docker.io/team/app", true],
    ["team/*", "team/web/app", false],
    ["team/**", "team/web/app", true],
    ["team/*", "other/app", false],
    ["team/*", "registry.example.com/team/app", false],
    ["team/*", "teamx/app", false],
    ["team/*", "x/team/app", false],
    ["team/app", "team/app:v2", true],
    ["team/app", "team/app2", false],
    ["team/app:v*", "team/app:v2", true],
    ["team/app:v*", "team/app", false],
    ["team/a.p", "team/axp", false],
    ["*", "app", true],
    ["*", "library/app", true],
    ["*", "team/app", false],
    ["registry.example.com/team/*", "registry.example.com/team/app", true],
    ["registry.example.com/team/*", "registry.example.com:5000/team/app", false],
    ["registry.example.com/**", "registry.example.com/a/b/c:v1", true],
    ["registry.example.com/**", "registryxexample.com/a", false],
    ["localhost:5000/*", "localhost:5000/app:v1", true],
    ["**", "registry.example.com/a/b", true],
  ])("--allow %s and %s: %s", (pattern, name, isAllowed) => {
    expect(parseNamePattern(pattern).matches(parseReference(name))).toBe(isAllowed);
  });

  test("have no digest", () => {
    const digest = `sha256:${"a".repeat(64)}`;
    expect(parseNamePattern("**").matches(parseReference(`app@${digest}`))).toBe(false);
    expect(() => readName(`app@${digest}`)).toThrow(/has a digest/);
  });

  test("are printed in full in a refusal, without the pattern", () => {
    expect(() => refuseName(readName("other/app"), [parseNamePattern("team/*")])).toThrow(
      "this key may not build docker.io/other/app:latest",
    );
  });

  test.each(["", "team/(a|b)", "a".repeat(400), "team/[ab]", "team/a b"])(
    "cannot be described by the pattern %j",
    (pattern) => {
      expect(() => parseNamePattern(pattern)).toThrow(/is not a pattern of names/);
    },
  );
});

test.each([
  ["team/app:v2", "registry.example.com", "registry.example.com/team/app:v2"],
  ["app", "registry.example.com:5000/mirror", "registry.example.com:5000/mirror/app:latest"],
  ["registry.example.com/team/app:v2", "registry.example.com", "registry.example.com/team/app:v2"],
])("%s with --push %s is published as %s", (name, to, published) => {
  expect(fullName(publishedName(parseReference(name), to))).toBe(published);
});

test("rejects a name that is too long in the registry, without an internal error", () => {
  const long = parseReference(`team/${"a".repeat(235)}`);
  expect(() => publishedName(long, "registry.longer.example.com")).toThrow(
    expect.objectContaining({
      code: "usage",
      message: expect.stringContaining("is longer than 255 characters") as string,
    }),
  );
});

test("does not publish a name of another registry", () => {
  expect(() => publishedName(parseReference("other.example.com/app"), "registry.example.com")).toThrow(
    "other.example.com/app belongs to another registry than --push registry.example.com",
  );
});

/** Parses the command in authorized_keys, with the command of the client. */
async function forced(command: string | undefined, ...more: string[]): Promise<FactoryRequest> {
  const argv = [
    "node",
    "docker-over-ssh",
    "build",
    "--forced",
    "--allow",
    "team/*",
    "--push",
    "registry.example.com",
    ...more,
  ];
  const parsed = await parseCommandLine(
    argv,
    { SSH_ORIGINAL_COMMAND: command },
    { out: () => {}, err: (text) => expect(text).toBe("") },
  );
  if (!("job" in parsed)) throw new Error("no job");
  return (parsed.job as unknown as { request: FactoryRequest }).request;
}

describe("a forced command accepts", () => {
  test.each([
    "team/app:v2",
    "docker-over-ssh build --stdin team/app:v2",
    " docker-over-ssh  build --stdin   team/app:v2 ",
    "docker-over-ssh build team/app:v2 --stdin",
    "--stdin team/app:v2",
  ])("%j", async (command) => {
    expect(await forced(command)).toMatchObject({
      name: { path: "team/app", tag: "v2" },
      published: { domain: "registry.example.com", path: "team/app", tag: "v2" },
      strip: 0,
      isLatest: false,
    });
  });

  test("options of the client", async () => {
    const command =
      "team/app -f docker/Dockerfile --strip=1 --build-arg A=1 --build-arg B=x=y --label v=2 --no-cache --pull --latest --target prod --json";
    expect(await forced(command, "--build-arg", "A=2", "--keep", "3")).toMatchObject({
      dockerfile: "docker/Dockerfile",
      strip: 1,
      order: { buildArgs: { A: "2", B: "x=y" }, labels: { v: "2" }, noCache: true, pull: true, target: "prod" },
      isLatest: true,
      keep: 3,
      printsReport: false,
    });
  });
});

describe("rejects an escape attempt with one sentence:", () => {
  const digest = `sha256:${"0".repeat(64)}`;
  test.each([
    ["no command", undefined],
    ["spaces", "   "],
    ["a name of others", "other/app"],
    ["a name in a registry", "evil.example.com/team/app"],
    ["a digest", `team/app@${digest}`],
    ["a second command", "team/app; id"],
    ["a second line", "team/app\nid"],
    ["a pipe", "team/app | id"],
    ["a substitution", "team/$(id)"],
    ["backquotes", "team/`id`"],
    ["quotes", "'team/app'"],
    ["a backslash", "team\\/app"],
    ["a NUL", "team/app\0"],
    ["a look-alike letter", "te\u0430m/app"],
    ["a full-width slash", "team\uff0fapp"],
    ["a tab", "team/app\t--keep 1"],
    ["an assignment", "PATH=/tmp docker-over-ssh build --stdin team/app"],
    ["another program", "sh"],
    ["another command", "docker-over-ssh push team/app"],
    ["the tunnel", "docker-over-ssh build"],
    ["the tunnel with options", "docker-over-ssh build --timeout 60"],
    ["a path to the program", "/usr/bin/docker-over-ssh build --stdin team/app"],
    ["a policy of its own", "docker-over-ssh build --forced --allow ** --stdin team/app"],
    ["another pattern", "team/app --allow **"],
    ["another engine", "team/app --host tcp://example.com"],
    ["another engine in one word", "team/app -Htcp://example.com"],
    ["another registry", "team/app --push evil.example.com"],
    ["a Dockerfile outside", "team/app -f ../../etc/passwd"],
    ["an absolute Dockerfile", "team/app --file=/etc/passwd"],
    ["the network of the host", "team/app --network host"],
    ["a secret", "team/app --secret id=x,src=/etc/shadow"],
    ["another base", "team/app --base other"],
    ["no limit", "team/app --max-size 1t"],
    ["an argument of the environment", "team/app --build-arg PATH"],
    ["an option without its value", "team/app --target"],
    ["an option in place of a value", "team/app --target --pull"],
    ["a value for none", "team/app --pull=yes"],
    ["the end of options", "-- team/app"],
    ["two names", "team/app team/app2"],
    ["no name", "docker-over-ssh build --stdin"],
    ["a negative strip", "team/app --strip=-1"],
    ["a long command", `team/app ${"--pull ".repeat(1000)}`],
    ["many words", `team/app ${"--pull ".repeat(64)}`],
  ])("%s", async (_, command) => {
    await expect(forced(command)).rejects.toMatchObject({
      name: "Failure",
      code: expect.stringMatching(/^(?:refused|usage)$/) as string,
      message: expect.stringMatching(/^[^\n]{5,200}$/) as string,
    });
  });

  test("the client cannot change the options of the key", async () => {
    expect(await forced("team/app --target evil --strip 3", "--target", "good", "--strip", "0")).toMatchObject({
      order: { target: "good" },
      strip: 0,
    });
  });

  test("without a pattern, nothing is allowed", async () => {
    const argv = ["node", "docker-over-ssh", "build", "--forced"];
    const write = { out: () => {}, err: () => {} };
    await expect(parseCommandLine(argv, { SSH_ORIGINAL_COMMAND: "app" }, write)).rejects.toMatchObject({
      code: "usage",
    });
  });
});
