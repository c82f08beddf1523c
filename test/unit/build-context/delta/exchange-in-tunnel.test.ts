import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { expect, test } from "vitest";
import { StoredContext } from "../../../../src/build-context/delta/stored-context.ts";
import { receiveContext } from "../../../../src/build-context/delta/receive-context.ts";
import { sendContext } from "../../../../src/build-context/delta/send-context.ts";
import { newRunId } from "../../../../src/run/run-id.ts";
import { runBothSides } from "../../../../src/stdio-tunnel/in-process.ts";
import { pseudoRandomBytes } from "../../pseudo-random.ts";
import { contentsOf, memoryContext } from "../memory-context.ts";
import { PROJECT } from "./exchange.ts";

test("a stream of the tunnel carries a context, and the failure of either side", async () => {
  const home = await mkdtemp(join(tmpdir(), "tunnel-"));
  const { signal } = new AbortController();
  const context = memoryContext({ "a/large": { content: pseudoRandomBytes(3_000_000, 1) }, b: { content: "b" } });
  const broken = memoryContext({ b: { content: "b" } });
  broken.contents.set("b", Buffer.from("longer"));
  const results: unknown[] = [];
  try {
    await runBothSides(
      {
        // The side with the engine sends the image and receives the context.
        sender: async (tunnel) => {
          const accepted: Duplex[] = [];
          let wake: () => void = () => {};
          tunnel.listen("context", (stream) => {
            accepted.push(stream);
            wake();
          });
          for (let count = 0; count < 3; count += 1) {
            while (accepted.length <= count) await new Promise<void>((resolve) => (wake = resolve));
            const stored = new StoredContext({ env: { XDG_CACHE_HOME: home }, runId: newRunId(), project: PROJECT });
            const limits = { entries: 1000, bytes: count === 2 ? 5 : 1e9, depth: 9 };
            const arrived = await receiveContext(accepted[count] as Duplex, stored, { signal, limits }).catch(
              (error: unknown) => error as Error,
            );
            results.push(arrived instanceof Error ? `there: ${arrived.message}` : await contentsOf(arrived));
            if (!(arrived instanceof Error)) await arrived[Symbol.asyncDispose]();
          }
        },
        receiver: async (tunnel) => {
          for (const one of [context, broken, context]) {
            const sent = sendContext(tunnel.connect("context"), one, { signal });
            await sent.catch((error: unknown) => void results.push(`here: ${(error as Error).message}`));
          }
        },
      },
      { tool: "test", signal },
    );
  } finally {
    await rm(home, { recursive: true });
  }
  expect(results[0]).toEqual(await contentsOf(context));
  expect(results.slice(1).toSorted()).toEqual([
    "here: the context has more than 5 B",
    'here: the file "b" has changed while the context was read',
    "there: the context has more than 5 B",
    'there: the file "b" has changed while the context was read',
  ]);
});
