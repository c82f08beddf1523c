import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { openFileStore } from "../../../src/store/files/file-store.ts";
import { added, eventually, jobOf } from "../../fixtures/store-contract/bed.ts";

const folder = mkdtempSync(join(tmpdir(), "webhook-places-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("receivers of one owner that do not answer do not delay the webhooks of others", async () => {
  await using store = await openFileStore({ folder, maxLog: 1e6, maxQueued: 100, retention: { age: 1e9, bytes: 1e9 } });
  const webhookUrl = "https://hooks.example.com/1";
  const stop = new AbortController();
  const stopped = new Promise<void>((resolve) => stop.signal.addEventListener("abort", () => resolve()));
  for (let count = 0; count < 20; count += 1) {
    await store.cancel((await added(store, { job: { owner: "greedy" }, webhookUrl })).id);
  }
  const other = await added(store, { job: { owner: "other" }, webhookUrl });
  await store.cancel(other.id);
  const delivering = store.workWebhooks(stop.signal, async ({ owner }) => {
    if (owner === "greedy") await stopped;
    return { delivery: { at: 1, status: 200, ms: 1 } };
  });
  await eventually(async () => expect((await jobOf(store, other.id)).webhook?.deliveries).toHaveLength(1));
  stop.abort();
  await delivering;
});
