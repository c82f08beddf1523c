/** A Duplex over two halves. */
import { once } from "node:events";
import { PassThrough, Readable, Writable } from "node:stream";
import { expect, test, vi } from "vitest";
import { MAX_BACKLOG } from "../../../src/stdio-tunnel/constants.ts";
import { StdioTransport } from "../../../src/stdio-tunnel/transport.ts";
import { text } from "../../fixtures/remote/contents.ts";

function halves(): { source: PassThrough; sink: PassThrough; transport: StdioTransport } {
  const [source, sink] = [new PassThrough(), new PassThrough()];
  return { source, sink, transport: new StdioTransport(source, sink) };
}

/** A sink that accepts nothing until `go` is called. */
function heldSink(): { sink: Writable; taken: Buffer[]; go: () => void } {
  const taken: Buffer[] = [];
  const waiting: (() => void)[] = [];
  const sink = new Writable({
    writev: (chunks, done) => {
      taken.push(...chunks.map(({ chunk }) => chunk as Buffer));
      waiting.push(done);
    },
  });
  return { sink, taken, go: () => waiting.shift()?.() };
}

test("passes bytes in both directions, and counts them", async () => {
  const { source, sink, transport } = halves();
  source.end("hello");
  expect(await text(transport)).toBe("hello");
  transport.end("good-bye");
  expect(await text(sink)).toBe("good-bye");
  expect([transport.bytesRead, transport.bytesWritten]).toEqual([5, 8]);
});

test("pauses an unread source", async () => {
  const source = Readable.from(endless());
  const transport = new StdioTransport(source, new PassThrough());
  transport.read(0);
  await once(transport, "readable");
  await new Promise(setImmediate);
  expect(transport.bytesRead).toBeLessThan(200_000);
  transport.destroy();
});

async function* endless(): AsyncGenerator<Buffer> {
  for (;;) yield await Promise.resolve(Buffer.alloc(10_000));
}

test("sends many small writes as one", () => {
  const { sink, taken } = heldSink();
  const transport = new StdioTransport(new PassThrough(), sink);
  transport.write("first");
  transport.cork();
  for (const word of ["a", "b", "c"]) transport.write(word);
  transport.uncork();
  expect(taken.map(String)).toEqual(["first"]);
});

test("completes a write when the sink has accepted it", async () => {
  const { sink, go } = heldSink();
  const transport = new StdioTransport(new PassThrough(), sink);
  const done = vi.fn<() => void>();
  transport.write("words", done);
  await new Promise(setImmediate);
  expect(done).not.toHaveBeenCalled();
  go();
  await new Promise(setImmediate);
  expect(done).toHaveBeenCalledOnce();
});

test.each(["before", "after"])(
  "completes a write without waiting for the sink while data that arrived %s it is unread",
  async (when) => {
    const { sink, taken, go } = heldSink();
    const source = new PassThrough();
    const transport = new StdioTransport(source, sink);
    const come = async (): Promise<void> => {
      source.write("read me");
      transport.read(0);
      await vi.waitFor(() => expect(transport.readableLength).toBeGreaterThan(0));
    };
    const done = vi.fn<() => void>();
    if (when === "before") await come();
    transport.write("words", done);
    if (when === "after") await come();
    await new Promise(setImmediate);
    expect(done).toHaveBeenCalledOnce();
    transport.write("more words");
    go();
    await new Promise(setImmediate);
    expect(taken.map(String)).toEqual(["words", "more words"]);
    expect(done).toHaveBeenCalledOnce();
  },
);

test("limits the data that waits in this way", async () => {
  const { sink } = heldSink();
  const source = new PassThrough();
  const transport = new StdioTransport(source, sink);
  source.write("never read");
  transport.read(0);
  await vi.waitFor(() => expect(transport.readableLength).toBeGreaterThan(0));
  const chunk = Buffer.alloc(1_000_000);
  for (let count = 0; count < 60; count++) transport.write(chunk);
  await new Promise(setImmediate);
  expect(sink.writableLength).toBeGreaterThanOrEqual(MAX_BACKLOG);
  expect(sink.writableLength).toBeLessThan(MAX_BACKLOG + 2 * chunk.length);
});

test("fails when the sink is closed, also while data waits to be read", async () => {
  const { source, sink, transport } = halves();
  source.write("never read");
  transport.read(0);
  await vi.waitFor(() => expect(transport.readableLength).toBeGreaterThan(0));
  sink.destroy();
  const more = (): void => void (transport.destroyed || transport.write("words", more));
  more();
  const [error] = (await once(transport, "error")) as [NodeJS.ErrnoException];
  expect(error.code).toBe("ERR_STREAM_DESTROYED");
});

test.each(["source", "sink"] as const)("an error of the %s is its error, and destroys both", async (half) => {
  const all = halves();
  all[half].destroy(new Error("EIO"));
  const [error] = (await once(all.transport, "error")) as [Error];
  expect(error.message).toBe("EIO");
  expect([all.source.destroyed, all.sink.destroyed]).toEqual([true, true]);
});

test("ends when the source closes without an end", async () => {
  const { source, transport } = halves();
  source.destroy();
  expect(await text(transport)).toBe("");
  expect(transport.writable).toBe(true);
});

test("destroys both halves when it is destroyed", async () => {
  const { source, sink, transport } = halves();
  transport.destroy();
  await once(transport, "close");
  expect([source.destroyed, sink.destroyed]).toEqual([true, true]);
});
