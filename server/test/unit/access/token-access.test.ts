import crypto from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { syncBuiltinESMExports } from "node:module";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { rejection, temporaryFolder } from "../../../../test/unit/engine/fake-engine.ts";
import { formatHash, hashOf, newToken } from "../../../src/access/token.ts";
import { TokenAccess } from "../../../src/access/token-access.ts";

const [first, second, third] = [newToken(), newToken(), newToken()];
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let path: string;

const write = async (tokens: Record<string, string>): Promise<void> => {
  const entries = Object.entries(tokens).map(([name, token]) => ({
    name,
    hash: formatHash(hashOf(token)),
    scopes: ["read"],
  }));
  await writeFile(path, JSON.stringify(entries), { mode: 0o600 });
};

beforeEach(async () => {
  folder = await temporaryFolder();
  path = join(folder.path, "tokens.json");
  await write({ first, second, third });
});
afterEach(async () => {
  vi.restoreAllMocks();
  syncBuiltinESMExports();
  await folder[Symbol.asyncDispose]();
});

test("creates tokens of 256 bits", () => {
  expect(first).toMatch(/^dos_[A-Za-z0-9_-]{43}$/);
  expect(first).not.toBe(second);
});

test.each([
  ["Bearer", (token: string) => `Bearer ${token}`],
  ["bearer, in lower case", (token: string) => `bearer ${token}`],
  ["the token alone", (token: string) => token],
])("identifies the holder of a token: %s", async (_how, header) => {
  const access = await TokenAccess.open(path);
  expect(access.needsToken).toBe(true);
  expect([first, second, third].map((token) => access.client(header(token))?.name)).toEqual([
    "first",
    "second",
    "third",
  ]);
});

test.each([
  ["no header", undefined],
  ["an empty one", ""],
  ["Bearer alone", "Bearer "],
  ["another token", `Bearer ${newToken()}`],
  ["a part of a token", first.slice(0, -1)],
  ["more than a token", `${first}x`],
  ["two tokens", `${first} ${second}`],
  ["another letter case", first.toUpperCase()],
  ["the hash of a token", formatHash(hashOf(first))],
  ["another scheme", `Basic ${Buffer.from(`ci:${first}`).toString("base64")}`],
  ["bytes that are not text", "\u00ff\u0000"],
])("rejects a token: %s", async (_what, header) => {
  const access = await TokenAccess.open(path);
  expect(access.client(header)).toBeUndefined();
});

// Counts comparisons, because measured times are unreliable on a busy machine.
test("compares each token with all hashes, completely, whichever matches", async () => {
  const access = await TokenAccess.open(path);
  const compare = vi.spyOn(crypto, "timingSafeEqual");
  syncBuiltinESMExports();
  for (const token of [first, third, newToken(), "x", "x".repeat(5000)]) {
    compare.mockClear();
    access.client(token);
    expect(compare.mock.calls.map((hashes) => hashes.map(({ byteLength }) => byteLength))).toEqual([
      [32, 32],
      [32, 32],
      [32, 32],
    ]);
  }
});

test("adds and removes tokens when the file is read again", async () => {
  const access = await TokenAccess.open(path);
  await write({ second });
  expect(access.client(first)?.name).toBe("first");
  const { reload } = access; // the server passes it on
  expect(await reload()).toBe(1);
  expect(access.client(first)).toBeUndefined();
  expect(access.client(second)?.name).toBe("second");
});

test("changes nothing when the file is read again and is invalid", async () => {
  const access = await TokenAccess.open(path);
  await writeFile(path, "[{");
  const { code, message } = await rejection(access.reload());
  expect(code).toBe("usage");
  expect(message).toContain("the tokens stay as they were");
  expect(access.client(first)?.name).toBe("first");
});
