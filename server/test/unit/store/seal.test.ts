import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { createSeal, readKeyFile } from "../../../src/store/seal.ts";

const folder = mkdtempSync(join(tmpdir(), "seal-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const credentials = { username: "ci", password: "pässword" };
const job = { id: "job-1", name: "registry.example.com/team/app" };
const secret = Buffer.alloc(32, 7);

test("opens sealed credentials for their job", () => {
  const seal = createSeal(secret);
  const sealed = seal.seal(job, credentials);
  expect(sealed).not.toContain("ci");
  expect(createSeal(secret).open(job, sealed)).toEqual(credentials);
  expect(seal.seal(job, credentials)).not.toBe(sealed);
});

test.each([
  ["for another job", (sealed: string) => () => createSeal(secret).open({ ...job, id: "job-2" }, sealed)],
  [
    "for another registry",
    (sealed: string) => () => createSeal(secret).open({ ...job, name: "evil.example.com/app" }, sealed),
  ],
  ["with another key", (sealed: string) => () => createSeal(Buffer.alloc(32, 8)).open(job, sealed)],
  ["after a change", (sealed: string) => () => createSeal(secret).open(job, changed(sealed))],
  ["cut short", (sealed: string) => () => createSeal(secret).open(job, sealed.slice(0, 20))],
  ["of another layout", () => () => createSeal(secret).open(job, "2.AAAA")],
])("does not open them %s", (_, opening) => {
  expect(opening(createSeal(secret).seal(job, credentials))).toThrow("cannot be opened");
});

test("creates a missing key file once, for its owner alone", async () => {
  const path = join(folder, "key");
  const seals = await Promise.all([readKeyFile(path), readKeyFile(path), readKeyFile(path)]);
  const sealed = seals[0].seal(job, credentials);
  for (const seal of [...seals, await readKeyFile(path)]) expect(seal.open(job, sealed)).toEqual(credentials);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync(folder)).toEqual(["key"]);
});

test("rejects a key file that is too short, or that others may read", async () => {
  const short = join(folder, "short");
  writeFileSync(short, "secret", { mode: 0o600 });
  await expect(readKeyFile(short)).rejects.toMatchObject({ code: "usage", expected: expect.stringContaining("32") });
  const open = join(folder, "open");
  writeFileSync(open, "x".repeat(40));
  chmodSync(open, 0o644);
  await expect(readKeyFile(open)).rejects.toMatchObject({ code: "usage", hint: `chmod 600 ${open}` });
  await expect(readKeyFile(join(folder, "none/key"))).rejects.toMatchObject({ code: "usage" });
});

function changed(sealed: string): string {
  return sealed.slice(0, 30) + (sealed[30] === "A" ? "B" : "A") + sealed.slice(31);
}
