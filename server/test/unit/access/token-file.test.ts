import { parseReference, type Failure } from "docker-over-ssh/builds";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { rejection, temporaryFolder } from "../../../../test/unit/engine/fake-engine.ts";
import { parseTokens, readTokenFile } from "../../../src/access/token-file.ts";

const HASH = `sha256:${"0a".repeat(32)}`;
const entry = (changes: object = {}): object => ({ name: "ci", hash: HASH, scopes: ["build"], ...changes });

function wrong(text: string): string {
  try {
    parseTokens(text, "tokens.json");
  } catch (error) {
    expect((error as Failure).code).toBe("usage");
    return (error as Failure).message;
  }
  throw new Error("it did not throw");
}

test("parses a token with all fields", () => {
  const limits = { queued: 20, running: 2, body: "500MB", memory: "2GB", cpus: 1.5, time: "30m", network: "none" };
  const text = JSON.stringify([entry({ scopes: ["build", "read"], images: ["registry.example.com/team/*"], limits })]);
  const [token] = parseTokens(text, "tokens.json");
  expect(token?.hash.toString("hex")).toBe("0a".repeat(32));
  expect(token?.client).toMatchObject({
    name: "ci",
    scopes: new Set(["build", "read"]),
    limits: { ...limits, body: 500 * 1024 ** 2, memory: 2 * 1024 ** 3, time: 30 * 60_000 },
  });
  const matches = (name: string) => token?.client.images?.some((pattern) => pattern.matches(parseReference(name)));
  expect(matches("registry.example.com/team/app:v2")).toBe(true);
  expect(matches("registry.example.com/other/app:v2")).toBe(false);
});

test("allows any name without images, and has no limits without limits", () => {
  expect(parseTokens(JSON.stringify([entry()]), "tokens.json")[0]?.client).toEqual({
    name: "ci",
    scopes: new Set(["build"]),
    limits: {},
  });
});

test("accepts an empty list, which revokes the last token", () => {
  expect(parseTokens("[]", "tokens.json")).toEqual([]);
});

test.each([
  ["an unknown key", [entry({ image: ["*"] })], 'tokens.json: token "ci" has unknown keys: "image"'],
  ["an unknown limit", [entry({ limits: { cpu: 1 } })], 'limits has unknown keys: "cpu"'],
  ["two tokens of one name", [entry(), entry({ hash: `sha256:${"0b".repeat(32)}` })], 'two tokens have the name "ci"'],
  ["two tokens of one hash", [entry(), entry({ name: "other" })], "two tokens have the hash"],
  ["a value that is not a list", { tokens: [] }, "is not a list"],
  ["an entry that is not an object", ["ci"], "token 1 is not an object"],
  ["null", [null], "token 1 is not an object"],
  ["no name", [entry({ name: undefined })], "the name cannot be used"],
  ["a name that would be two lines of a log", [entry({ name: "a\nb" })], "the name cannot be used"],
  ["the reserved name", [entry({ name: "anonymous" })], "the name cannot be used"],
  ["a token instead of its hash", [entry({ hash: "dos_secret-word" })], "the hash is not valid"],
  ["a short hash", [entry({ hash: "sha256:00" })], "the hash is not valid"],
  ["no scopes", [entry({ scopes: undefined })], "scopes is not a list"],
  ["empty scopes", [entry({ scopes: [] })], "scopes is empty"],
  ["an unknown scope", [entry({ scopes: ["push"] })], '"push" is not a scope'],
  ["empty images", [entry({ images: [] })], "images is empty"],
  ["an invalid pattern", [entry({ images: ["a b"] })], "is not a pattern"],
  ["a number instead of a pattern", [entry({ images: [5] })], "is not a pattern"],
  ["an invalid size", [entry({ limits: { body: "much" } })], "limits: body cannot be used"],
  ["a size of zero", [entry({ limits: { memory: 0 } })], "limits: memory is not a size"],
  ["an invalid time", [entry({ limits: { time: 30 } })], "limits: time cannot be used"],
  ["a time in a list", [entry({ limits: { time: ["30m"] } })], "limits: time cannot be used"],
  ["an invalid count", [entry({ limits: { queued: "20" } })], "limits: queued is not a number of jobs"],
  ["an invalid number of processors", [entry({ limits: { cpus: -1 } })], "limits: cpus is not a number of processors"],
  ["another container's network", [entry({ limits: { network: "container:db" } })], "limits: network is not a network"],
])("rejects %s", (_what, content, message) => {
  const found = wrong(JSON.stringify(content));
  expect(found).toContain(message);
  expect(found).not.toContain("secret-word");
});

test("does not quote invalid JSON", () => {
  expect(wrong('[{"name": "ci", "hash": dos_secret-word')).toBe("tokens.json is not valid JSON");
});

test("rejects a file that others may write to", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "tokens.json");
  await writeFile(path, JSON.stringify([entry()]), { mode: 0o644 });
  expect(await readTokenFile(path)).toHaveLength(1);
  for (const mode of [0o620, 0o602]) {
    await chmod(path, mode);
    expect(await rejection(readTokenFile(path))).toMatchObject({ code: "usage", hint: `chmod go-w ${path}` });
  }
});

test("rejects a path that is not a file", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "tokens.json");
  expect((await rejection(readTokenFile(path))).message).toBe(`${path} (--token-file) cannot be read (ENOENT)`);
  await mkdir(path, { mode: 0o700 });
  expect((await rejection(readTokenFile(path))).message).toBe(`${path} (--token-file) is no file`);
});
