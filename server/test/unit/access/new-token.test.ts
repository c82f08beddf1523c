import { chmod, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { rejection, temporaryFolder } from "../../../../test/unit/engine/fake-engine.ts";
import { addToken } from "../../../src/access/new-token.ts";
import { TokenAccess } from "../../../src/access/token-access.ts";

test("adds a token to a new file, which only its owner may read, and which does not contain the token", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "tokens.json");
  const token = await addToken(path, { name: "ci", images: ["team/*"] });
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readFile(path, "utf8")).not.toContain(token);
  const client = (await TokenAccess.open(path)).client(`Bearer ${token}`);
  expect(client).toMatchObject({ name: "ci", scopes: new Set(["build", "read"]), images: [{ given: "team/*" }] });
});

test("keeps the other tokens, the mode of the file, and a link to the file", async () => {
  await using folder = await temporaryFolder();
  const [path, link] = [join(folder.path, "tokens.json"), join(folder.path, "link.json")];
  const before = { name: "old", hash: `sha256:${"0a".repeat(32)}`, scopes: ["read"], limits: { body: "500MB" } };
  await writeFile(path, JSON.stringify([before]));
  await chmod(path, 0o640);
  await symlink(path, link);
  await addToken(link, { name: "ci", scopes: ["admin"] });
  const entries = JSON.parse(await readFile(path, "utf8")) as unknown[];
  expect(entries).toEqual([
    before,
    { name: "ci", hash: expect.stringMatching(/^sha256:/) as string, scopes: ["admin"] },
  ]);
  expect((await stat(path)).mode & 0o777).toBe(0o640);
  expect((await readdir(folder.path)).toSorted()).toEqual(["link.json", "tokens.json"]);
});

test("loses none of ten tokens that are added at the same time", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "tokens.json");
  const tokens = await Promise.all(
    Array.from({ length: 10 }, async (_, n) => await addToken(path, { name: `ci-${n}` })),
  );
  const access = await TokenAccess.open(path);
  expect(tokens.map((token) => access.client(token)?.name)).toEqual(tokens.map((_, n) => `ci-${n}`));
});

test("leaves the file unchanged for a name that is used or invalid", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "tokens.json");
  expect((await rejection(addToken(path, { name: "a b" }))).code).toBe("usage");
  expect(await readdir(folder.path)).toEqual([]);
  await addToken(path, { name: "ci" });
  const before = await readFile(path, "utf8");
  expect((await rejection(addToken(path, { name: "ci" }))).message).toContain('two tokens have the name "ci"');
  expect((await rejection(addToken(path, { name: "cd", images: ["a b"] }))).code).toBe("usage");
  expect(await readFile(path, "utf8")).toBe(before);
});

test("rejects a folder that does not exist", async () => {
  await using folder = await temporaryFolder();
  const error = await rejection(addToken(join(folder.path, "none/tokens.json"), { name: "ci" }));
  expect(error.code).toBe("usage");
});
