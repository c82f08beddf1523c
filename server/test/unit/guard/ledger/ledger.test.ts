import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { newRunId } from "docker-over-ssh/builds";
import { openLedger } from "../../../../src/guard/ledger/open-ledger.ts";

const id = `sha256:${"a".repeat(64)}`;
const image = { id, created: 1 };

let parent: string;
let folder: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "ledger-"));
  folder = join(parent, "ledger");
});
afterEach(() => rmSync(parent, { recursive: true }));

const fileOf = (tenant: string): string => join(folder, "tenants", `${tenant}.json`);

test("keeps changes when it is reopened, without removed tenants", async () => {
  {
    await using ledger = await openLedger(folder);
    expect(ledger.read("a")).toEqual({ tenant: "a", mayReturn: true, images: [], cacheRecords: [], hours: [] });
    await ledger.change("a", (record) => void record.images.push(image));
    await ledger.change("b", (record) => void record.cacheRecords.push("x1"));
    await ledger.change("c", () => {});
    await ledger.remove("c");
  }
  await using ledger = await openLedger(folder);
  expect(ledger.tenants()).toEqual(["a", "b"]);
  expect(ledger.read("a").images).toEqual([image]);
  expect(ledger.read("b").cacheRecords).toEqual(["x1"]);
});

test("makes changes of one tenant one after the other, each on the result of the previous one", async () => {
  await using ledger = await openLedger(folder);
  const changes = Array.from({ length: 20 }, (_, count) =>
    ledger.change("a", (record) => void record.cacheRecords.push(`r${count}`)),
  );
  await Promise.all(changes);
  expect(ledger.read("a").cacheRecords).toEqual(Array.from({ length: 20 }, (_, count) => `r${count}`));
});

test("limits a record to the size that the next start reads", async () => {
  const images = (count: number) =>
    Array.from({ length: count }, (_, index) => ({
      id: `sha256:${index.toString(16).padStart(64, "0")}`,
      created: Date.now(),
      isIntermediate: true as const,
    }));
  {
    await using ledger = await openLedger(folder);
    await ledger.change("a", (record) => {
      record.images = images(30_000);
      record.cacheRecords = Array.from({ length: 150_000 }, (_, index) => `${index}`.padStart(25, "0"));
    });
    const another = ledger.change("a", (record) => void record.images.push(image));
    await expect(another).rejects.toMatchObject({ rule: "ledger.images", statusCode: 403 });
    expect(ledger.read("a").images).toHaveLength(30_000);
    await ledger.change("a", (record) => void record.images.pop());
    await ledger.change("a", (record) => void record.images.push(image));
  }
  await using ledger = await openLedger(folder);
  expect(ledger.read("a").images.at(-1)).toEqual(image);
  expect(ledger.read("a").cacheRecords).toHaveLength(100_000);
  expect(ledger.read("a").cacheRecords.at(-1)).toMatch(/149999$/);
});

test("makes no change if the function throws, and makes the next one", async () => {
  await using ledger = await openLedger(folder);
  const failing = ledger.change("a", (record) => {
    record.images.push(image);
    throw new Error("no");
  });
  await expect(failing).rejects.toThrow("no");
  expect(ledger.read("a").images).toEqual([]);
  await ledger.change("a", (record) => void record.images.push(image));
  expect(ledger.read("a").images).toEqual([image]);
});

test.skipIf(process.platform !== "linux")("refuses a change on a full disk, and keeps the old record", async () => {
  await using ledger = await openLedger(folder);
  await ledger.change("a", (record) => void record.images.push(image));
  const before = readFileSync(fileOf("a"), "utf8");
  symlinkSync("/dev/full", `${fileOf("a")}.new`); // each write to it fails like one to a full disk (full(4))
  const refused = ledger.change("a", (record) => void (record.images = []));
  await expect(refused).rejects.toMatchObject({ rule: "ledger.full", statusCode: 507 });
  expect(ledger.read("a").images).toEqual([image]);
  expect(readFileSync(fileOf("a"), "utf8")).toBe(before);
  await ledger.change("a", (record) => void (record.images = []));
  expect(ledger.read("a").images).toEqual([]);
});

test("remaining work for a removed tenant records nothing, until it is admitted again", async () => {
  await using ledger = await openLedger(folder);
  await ledger.admit("pod", false);
  expect(ledger.read("pod").mayReturn).toBe(false);
  const late = ledger.remove("pod");
  const change = (): Promise<void> => ledger.change("pod", (record) => void record.images.push(image));
  await expect(change()).rejects.toMatchObject({ rule: "tenant.gone" });
  await late;
  expect(readdirSync(join(folder, "tenants"))).toEqual([]);
  await ledger.admit("pod", false);
  await change();
  expect(ledger.read("pod")).toMatchObject({ mayReturn: false, images: [image] });
});

test.skipIf(process.platform !== "linux")(
  "records a tenant that is admitted while the disk is full later",
  async () => {
    await using ledger = await openLedger(folder);
    symlinkSync("/dev/full", `${fileOf("pod")}.new`);
    await ledger.admit("pod", false);
    expect(ledger.tenants()).toEqual([]);
    await ledger.change("pod", (record) => void record.images.push(image));
    expect(JSON.parse(readFileSync(fileOf("pod"), "utf8"))).toMatchObject({ mayReturn: false });
  },
);

test.each([
  ["text", "{"],
  ["another shape", "{}"],
  [
    "an unknown property",
    JSON.stringify({ version: 1, tenant: "a", mayReturn: true, images: [], cacheRecords: [], hours: [], x: 1 }),
  ],
  [
    "another tenant",
    JSON.stringify({ version: 1, tenant: "b", mayReturn: true, images: [], cacheRecords: [], hours: [] }),
  ],
  [
    "an invalid ID",
    JSON.stringify({
      version: 1,
      tenant: "a",
      mayReturn: true,
      images: [{ id: "../x", created: 1 }],
      cacheRecords: [],
      hours: [],
    }),
  ],
])("refuses a file with %s by its name, and releases the folder", async (_, content) => {
  mkdirSync(join(folder, "tenants"), { recursive: true, mode: 0o700 });
  writeFileSync(fileOf("a"), content);
  const refused = { code: "refused", message: expect.stringContaining(fileOf("a")) as string };
  await expect(openLedger(folder)).rejects.toMatchObject(refused);
  rmSync(fileOf("a"));
  await using ledger = await openLedger(folder);
  expect(ledger.tenants()).toEqual([]);
});

test.each([
  ["a.json", "{", "it is not JSON"],
  ["a.txt", "{}", "is not a file of the ledger"],
  ["a.json", " ".repeat(16 * 1024 ** 2 + 1), "is not a file of the ledger"],
  [
    "A.json",
    JSON.stringify({ version: 1, tenant: "A", mayReturn: true, images: [], cacheRecords: [], hours: [] }),
    "its name is not the ID of a tenant",
  ],
])("refuses a file %s that belongs to no tenant", async (name, content, words) => {
  mkdirSync(join(folder, "tenants"), { recursive: true, mode: 0o700 });
  writeFileSync(join(folder, "tenants", name), content);
  await expect(openLedger(folder)).rejects.toMatchObject({
    code: "refused",
    message: expect.stringContaining(words) as string,
  });
});

test("a guard whose folder was taken over changes nothing in it", async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  onTestFinished(() => void vi.useRealTimers());
  await using ledger = await openLedger(folder);
  const lost = once(ledger.lost, "abort");
  const lock = join(folder, "guard.lock");
  for (const name of readdirSync(lock)) rmSync(join(lock, name));
  writeFileSync(join(lock, newRunId(process.pid)), "");
  vi.advanceTimersByTime(600_000);
  await lost;
  await expect(ledger.change("a", () => {})).rejects.toMatchObject({ rule: "ledger.lost", statusCode: 503 });
  expect(readdirSync(join(folder, "tenants"))).toEqual([]);
});

test("refuses a second guard until the first one ends; takes over the folder of a killed one", async () => {
  {
    await using _ = await openLedger(folder);
    const message = `another guard uses ${folder}`;
    await expect(openLedger(folder)).rejects.toMatchObject({ code: "refused", message });
  }
  mkdirSync(join(folder, "guard.lock"));
  writeFileSync(join(folder, "guard.lock", newRunId(999_999_999)), "");
  await using ledger = await openLedger(folder);
  await ledger.change("a", () => {});
});

test("uses only IDs of tenants as names of files", async () => {
  await using ledger = await openLedger(folder);
  await expect(ledger.change("../a", () => {})).rejects.toThrow("not the ID of a tenant");
  expect(readdirSync(parent)).toEqual(["ledger"]);
});

test("a guard that is killed while it writes leaves a complete record, with all reported changes", async () => {
  const program = join(parent, "dist/program.mjs");
  writeFileSync(join(parent, "package.json"), readFileSync(join(import.meta.dirname, "../../../../../package.json")));
  await build({
    stdin: {
      contents: `import { openLedger } from ${JSON.stringify(join(import.meta.dirname, "../../../../src/guard/ledger/open-ledger.ts"))};
        const ledger = await openLedger(${JSON.stringify(folder)});
        for (let count = ledger.read("a").cacheRecords.length; ; count++) {
          await ledger.change("a", (record) => void record.cacheRecords.push("r" + count));
          console.log(count + 1);
        }`,
      resolveDir: import.meta.dirname,
    },
    outfile: program,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
    logLevel: "error",
  });
  for (const most of [1, 7, 20]) {
    const child = spawn(process.execPath, [program], { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    for await (const chunk of child.stdout) {
      output += String(chunk);
      if (output.split("\n").length > most) child.kill("SIGKILL");
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    const last = Number(output.split("\n").at(-2));
    await using ledger = await openLedger(folder);
    const { length } = ledger.read("a").cacheRecords;
    expect(length - last).toBeGreaterThanOrEqual(0);
    expect(length - last).toBeLessThanOrEqual(1);
  }
});
