import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { parseSecret, readSecret, type SecretSpec } from "../../../src/credentials/secrets.ts";

let folder: string;
beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), "secrets-"))));
afterEach(() => rm(folder, { recursive: true }));

const file = (id: string, path: string): SecretSpec => ({ id, source: { kind: "file", path } });
const variable = (id: string, name: string): SecretSpec => ({ id, source: { kind: "env", name } });

test.each([
  ["id=npm,src=.npmrc", file("npm", ".npmrc")],
  ["id=npm,source=.npmrc,type=file", file("npm", ".npmrc")],
  ['id=npm,"src=a,b=c"', file("npm", "a,b=c")],
  ["ID=npm,src=a=b", file("npm", "a=b")],
  ["id=npm,env=TOKEN", variable("npm", "TOKEN")],
  ["id=npm,src=TOKEN,type=env", variable("npm", "TOKEN")],
  ["id=SET", variable("SET", "SET")],
  ["id=SET,type=file", file("SET", "SET")],
  ["id=npm", file("npm", "npm")],
  ["type=env,id=npm", variable("npm", "npm")],
])("--secret %s", (text, expected) => expect(parseSecret(text, { SET: "x" })).toEqual(expected));

test.each([
  "",
  "src=a",
  "id=a,value=hunter2",
  "id=a,hunter2",
  'id=a,"src=hunter2',
  "id=a,type=hunter2",
  "id=a,src=b,env=c",
])("rejects --secret %j, without repeating its text", (text) => {
  let thrown: unknown;
  try {
    parseSecret(text, {});
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toMatchObject({ code: "usage" });
  expect(JSON.stringify([String(thrown), thrown])).not.toContain("hunter2");
});

test("reads a secret from a file or a variable, byte for byte", async () => {
  const path = join(folder, "key");
  await writeFile(path, Buffer.from([0, 255, 10]));
  expect(await readSecret(file("key", path), {})).toEqual(Buffer.from([0, 255, 10]));
  expect(await readSecret(variable("key", "KEY"), { KEY: "é" })).toEqual(Buffer.from("é"));
  expect(await readSecret(variable("key", "KEY"), { KEY: "" })).toHaveLength(0);
});

test("a secret may have at most 500 KiB", async () => {
  const path = join(folder, "key");
  await writeFile(path, Buffer.alloc(500 * 1024));
  expect(await readSecret(file("key", path), {})).toHaveLength(500 * 1024);
  await writeFile(path, Buffer.alloc(500 * 1024 + 1));
  await expect(readSecret(file("key", path), {})).rejects.toMatchObject({ code: "usage", message: /too large/ });
});

test("reports a missing secret before a build", async () => {
  await expect(readSecret(file("key", join(folder, "none")), {})).rejects.toMatchObject({ code: "usage" });
  await expect(readSecret(file("key", folder), {})).rejects.toMatchObject({ code: "usage" });
  await expect(readSecret(variable("key", "KEY"), {})).rejects.toMatchObject({ code: "usage", message: /KEY/ });
});
