import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { encodeListing } from "../../../../src/build-context/delta/encode-listing.ts";
import {
  encodeMessage,
  type ContextReceiverMessage,
  type ContextSenderMessage,
} from "../../../../src/build-context/delta/exchange-messages.ts";
import { StoredContext } from "../../../../src/build-context/delta/stored-context.ts";
import type { ListedEntry } from "../../../../src/build-context/delta/listing.ts";
import { pieceDigest } from "../../../../src/build-context/delta/piece.ts";
import { receiveContext } from "../../../../src/build-context/delta/receive-context.ts";
import { sendContext } from "../../../../src/build-context/delta/send-context.ts";
import { pack } from "../../../../src/packing/pack.ts";
import { newRunId } from "../../../../src/run/run-id.ts";
import { pseudoRandom, pseudoRandomBytes } from "../../pseudo-random.ts";
import { contentsOf, memoryContext, MTIME, type MemoryContext } from "../memory-context.ts";
import { exchange, exchangeSettled, link, PROJECT, type Link } from "./exchange.ts";

let folder: string;
let homes: { near: string; far: string };
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "exchange-"));
  homes = { near: join(folder, "near"), far: join(folder, "far") };
});
afterEach(async () => await rm(folder, { recursive: true }));

/** A context of 40 files of 50 kB that do not compress. */
function largeContext(): MemoryContext {
  const files = Array.from({ length: 40 }, (_, n) => [`dir/file-${n}`, { content: pseudoRandomBytes(50_000, n) }]);
  return memoryContext(Object.fromEntries(files) as Record<string, { content: Buffer }>);
}

const storePath = async (): Promise<string> => {
  const contexts = join(homes.far, "docker-over-ssh/contexts");
  const name = (await readdir(contexts)).find((one) => one.endsWith(".pack")) ?? "";
  return join(contexts, name);
};

test("after the link breaks in the middle, the next run sends only the missing pieces", async () => {
  const context = largeContext();
  const [sent, received] = await exchangeSettled(context, { homes, link: link({ cutAfter: 1_200_000 }) });
  expect(sent).toMatchObject({ status: "rejected", reason: { code: "link-lost" } });
  expect(received).toMatchObject({ status: "rejected", reason: { code: "link-lost" } });
  const stored = (await stat(await storePath())).size;
  expect(stored).toBeGreaterThan(500_000);

  const second = link();
  const { context: arrived } = await exchange(context, { homes, link: second });
  await using _ = arrived;
  expect(second.bytes.there).toBeLessThan(2_010_000 - stored + 20_000);
  expect(await contentsOf(arrived)).toEqual(await contentsOf(context));
});

test("both sides name a file that changes before it is sent, and the next run reads all files", async () => {
  const context = largeContext();
  await using _ = (await exchange(context, { homes })).context;
  await rm(await storePath());
  context.contents.set("dir/file-7", pseudoRandomBytes(50_000, 1000)); // with the old fingerprint
  const [sent, received] = await exchangeSettled(context, { homes });
  const reason = { code: "context-invalid", message: expect.stringContaining('"dir/file-7" has changed') as string };
  expect(sent).toMatchObject({ status: "rejected", reason });
  expect(received).toMatchObject({ status: "rejected", reason });

  context.reads.length = 0;
  await using again = (await exchange(context, { homes })).context;
  expect(new Set(context.reads).size).toBe(40);
  expect(await contentsOf(again)).toEqual(await contentsOf(context));
});

test("both sides report a file whose size differs from the listing", async () => {
  const context = largeContext();
  context.contents.set("dir/file-7", Buffer.alloc(3));
  const settled = await exchangeSettled(context, { homes });
  for (const side of settled) expect(side).toMatchObject({ status: "rejected", reason: { code: "context-invalid" } });
});

test("a damaged piece store is reported and removed; the next run sends everything", async () => {
  const context = largeContext();
  const { context: first } = await exchange(context, { homes });
  await first[Symbol.asyncDispose]();
  const path = await storePath();
  const bytes = await readFile(path);
  bytes.fill(0, 500_000, 500_100);
  await writeFile(path, bytes);
  await using damaged = (await exchange(context, { homes })).context;
  await expect(contentsOf(damaged)).rejects.toMatchObject({ code: "not-verified" });
  await expect(stat(path)).rejects.toThrow("ENOENT");
  const again = link();
  await using whole = (await exchange(context, { homes, link: again })).context;
  expect(again.bytes.there).toBeGreaterThan(2_000_000);
  expect(await contentsOf(whole)).toEqual(await contentsOf(context));
});

test("two simultaneous runs of one project take turns, and each gets its own context", async () => {
  const [one, other] = [largeContext(), largeContext()];
  other.contents.set("dir/file-1", Buffer.alloc(50_000, "other"));
  const contexts = await Promise.all([
    exchange(one, { homes, near: { known: false } }),
    exchange(other, { homes, near: { known: false } }),
  ]);
  for (const [at, context] of [one, other].entries()) {
    const arrived = contexts[at]?.context;
    expect(arrived && (await contentsOf(arrived))).toEqual(await contentsOf(context));
    await arrived?.[Symbol.asyncDispose]();
  }
});

test("an open context stays readable while later runs replace the piece store", async () => {
  const first = memoryContext({ a: { content: pseudoRandomBytes(20_000_000, 1) } });
  await using open = (await exchange(first, { homes })).context;
  const before = (await stat(await storePath())).size;
  await using small = (await exchange(memoryContext({ b: { content: "small" } }), { homes })).context;
  expect((await stat(await storePath())).size).toBeLessThan(before / 1000);
  expect(await contentsOf(small)).toEqual(new Map([["b", "small"]]));
  expect(await contentsOf(open)).toEqual(await contentsOf(first));
});

test("without a usable cache folder, the context is not stored, and the run gets the reason", async () => {
  await mkdir(join(homes.far), { recursive: true });
  await writeFile(join(homes.far, "docker-over-ssh"), "a file in its place");
  const reasons: string[] = [];
  const context = largeContext();
  const { context: arrived } = await exchange(context, {
    homes,
    far: { onNotStored: (reason) => reasons.push(reason) },
  });
  await using _ = arrived;
  expect(reasons).toHaveLength(1);
  expect(await contentsOf(arrived)).toEqual(await contentsOf(context));
});

test("the signal ends both sides with its reason", async () => {
  const controller = new AbortController();
  const context = largeContext();
  const reason = new Error("interrupted");
  const read = context.read.bind(context);
  context.read = (file, signal) => {
    if (file.path === "dir/file-20") controller.abort(reason);
    return read(file, signal);
  };
  const settled = await exchangeSettled(context, { homes, signal: controller.signal });
  for (const side of settled) expect(side).toMatchObject({ status: "rejected", reason });
});

test("the signal ends the wait for another run of the project", async () => {
  const stored = new StoredContext({ env: { XDG_CACHE_HOME: homes.far }, runId: newRunId(), project: PROJECT });
  let release: () => void = () => {};
  const first = stored.update({}, async () => {
    await new Promise<void>((resolve) => (release = resolve));
    return [];
  });
  const controller = new AbortController();
  const reason = new Error("interrupted");
  const settled = await exchangeSettled(largeContext(), {
    homes,
    signal: controller.signal,
    far: { onWait: () => controller.abort(reason) },
  });
  for (const side of settled) expect(side).toMatchObject({ status: "rejected", reason });
  release();
  await (await first)[Symbol.asyncDispose]();
});

test("rejects a project that is not a digest", () => {
  const options = { env: { XDG_CACHE_HOME: homes.far }, runId: newRunId(), project: "../../../etc" };
  expect(() => new StoredContext(options)).toThrow("no valid key");
});

/** Plays one side with these messages, and reads the messages of the other side. */
async function play(
  side: Link["near"],
  messages: readonly (ContextSenderMessage | ContextReceiverMessage | Buffer)[],
): Promise<void> {
  async function* blocks(): AsyncGenerator<Buffer> {
    for (const message of messages) yield Buffer.isBuffer(message) ? message : encodeMessage(message);
  }
  const packed = pack(blocks(), { codec: undefined, level: () => undefined, blockPerChunk: true });
  side.on("error", () => {});
  await Promise.all([pipeline(packed, side).catch(() => {}), buffer(side).catch(() => {})]);
}

const file = (path: string, content: string): ListedEntry => {
  const pieces = [{ digest: pieceDigest(Buffer.from(content)), size: content.length }];
  return { kind: "file", path, mode: 0o644, mtime: MTIME, size: content.length, pieces };
};

/** Returns the messages that send a listing, whether valid or not. */
function listingOf(entries: readonly ListedEntry[]): ContextSenderMessage[] {
  const content = encodeListing(entries);
  return [
    { type: "pieces", contents: [content] },
    { type: "listing", pieces: [{ digest: pieceDigest(content), size: content.length }] },
  ];
}

describe("a hostile near side", () => {
  async function received(
    messages: readonly (ContextSenderMessage | ContextReceiverMessage | Buffer)[],
  ): Promise<unknown> {
    const used = link();
    const stored = new StoredContext({ env: { XDG_CACHE_HOME: homes.far }, runId: newRunId(), project: PROJECT });
    const { signal } = new AbortController();
    const limits = { entries: 10, bytes: 1000, depth: 5 };
    const [context] = await Promise.allSettled([
      receiveContext(used.far, stored, { signal, limits }),
      play(used.near, messages),
    ]);
    if (context.status === "rejected") return context.reason;
    await context.value[Symbol.asyncDispose]();
    return context.value.entries.map(({ path }) => path);
  }

  test("(control: an honest side is accepted)", async () => {
    const messages = [...listingOf([file("a", "x")]), { type: "pieces", contents: [Buffer.from("x")] } as const];
    expect(await received(messages)).toEqual(["a"]);
  });

  test.each<
    [
      string,
      () => readonly (ContextSenderMessage | ContextReceiverMessage | Buffer)[],
      { code: string; message?: string },
    ]
  >([
    ["sends nothing", () => [], { code: "transfer-failed", message: "its messages end too early" }],
    [
      "sends no pieces",
      () => listingOf([file("a", "x")]),
      { code: "transfer-failed", message: "its messages end too early" },
    ],
    [
      "sends other pieces",
      () => [...listingOf([file("a", "x")]), { type: "pieces", contents: [Buffer.from("y")] }],
      { code: "transfer-failed" },
    ],
    [
      "lists a path that leads out",
      () => listingOf([file("../x", "x")]),
      { code: "context-invalid", message: "leads out" },
    ],
    [
      "lists too much",
      () => listingOf([file("a", "x".repeat(2000))]),
      { code: "context-invalid", message: "more than 1 kB" },
    ],
    [
      "sends two listings",
      () => [...listingOf([file("a", "x")]), ...listingOf([])],
      { code: "transfer-failed", message: "out of place" },
    ],
    ["sends a message of the far side", () => [{ type: "done" }], { code: "transfer-failed", message: "out of place" }],
    ["sends an unknown message", () => [Buffer.from([77])], { code: "transfer-failed", message: "unknown type" }],
    [
      "sends a piece of no bytes",
      () => [Buffer.from([4, 1, 0])],
      { code: "transfer-failed", message: "impossible size" },
    ],
    [
      "announces pieces that do not follow",
      () => [Buffer.from([4, 200, 1])],
      { code: "transfer-failed", message: "fewer items" },
    ],
    [
      "lies about a size",
      () => {
        const lie = file("a", "x") as Extract<ListedEntry, { kind: "file" }>;
        return [
          ...listingOf([{ ...lie, size: 2, pieces: [{ ...lie.pieces[0], size: 2 } as never] }]),
          { type: "pieces", contents: [Buffer.from("x")] },
        ];
      },
      { code: "transfer-failed", message: "another size" },
    ],
  ])("that %s is rejected", async (_, messages, { code, message = "" }) => {
    expect(await received(messages())).toMatchObject({ code, message: expect.stringContaining(message) as string });
    await using store = await new StoredContext({
      env: { XDG_CACHE_HOME: homes.far },
      runId: newRunId(),
      project: PROJECT,
    }).update({}, async () => []);
    expect(store.size).toBeLessThan(10_000);
  });

  test("that sends a piece repeatedly: it is stored once", async () => {
    const content = pseudoRandomBytes(100, 1);
    const again = Array.from({ length: 5 }, () => ({ type: "pieces", contents: [content] }) as const);
    expect(await received([...again, ...listingOf([])])).toEqual([]);
    expect((await stat(await storePath())).size).toBeLessThan(300);
  });

  test("that sends random bytes causes a failure, not an error of this program", async () => {
    const random = pseudoRandom(5);
    for (let round = 0; round < 40; round += 1) {
      const used = link();
      used.near.on("error", () => {});
      const stored = new StoredContext({ env: { XDG_CACHE_HOME: homes.far }, runId: newRunId(), project: PROJECT });
      const receiving = receiveContext(used.far, stored, { signal: new AbortController().signal });
      used.near.resume();
      used.near.end(pseudoRandomBytes(Math.floor(random() * 3000), round));
      await expect(receiving).rejects.toMatchObject({ name: "Failure" });
    }
  });
});

describe("a hostile far side", () => {
  const hello: ContextReceiverMessage = { type: "hello", isEmpty: true, codecs: ["brotli", "unknown"] };

  async function sent(messages: readonly (ContextSenderMessage | ContextReceiverMessage | Buffer)[]): Promise<unknown> {
    const used = link();
    const { signal } = new AbortController();
    const [sending] = await Promise.allSettled([
      sendContext(used.near, memoryContext({ a: { content: "a" } }), { signal }),
      play(used.far, messages),
    ]);
    return sending.status === "rejected" ? sending.reason : undefined;
  }

  const nothing: ContextReceiverMessage = { type: "want", numbers: [], isLast: true };

  test("(control: an honest side is accepted)", async () => {
    expect(await sent([hello, nothing, nothing, { type: "done" }])).toBeUndefined();
  });

  test.each<[string, readonly (ContextSenderMessage | ContextReceiverMessage | Buffer)[], string]>([
    ["sends nothing", [], "its messages end too early"],
    ["begins with a request", [nothing], "out of place"],
    ["wants a piece that does not exist", [hello, { type: "want", numbers: [7], isLast: true }], "out of place"],
    [
      "wants the same piece repeatedly",
      [hello, ...Array.from({ length: 3 }, () => ({ type: "want", numbers: [0], isLast: false }) as const)],
      "out of place",
    ],
    ["is done before it has sent its wants", [hello, { type: "done" }], "out of place"],
    ["sends pieces", [hello, { type: "pieces", contents: [Buffer.from("x")] }], "out of place"],
    ["sends no JSON", [Buffer.from([0, 1, 2, 3])], "not a JSON object"],
  ])("that %s is rejected", async (_, messages, message) => {
    expect(await sent(messages)).toMatchObject({
      code: "transfer-failed",
      message: expect.stringContaining(message) as string,
    });
  });

  test("that reports a failure: its message is printed verbatim", async () => {
    const failure = { code: "no-space", message: "the disk is full", expected: "room", hint: "Free some." };
    const bytes = Buffer.concat([Buffer.from([3]), Buffer.from(JSON.stringify(failure))]);
    expect(await sent([hello, bytes])).toMatchObject(failure);
  });
});
