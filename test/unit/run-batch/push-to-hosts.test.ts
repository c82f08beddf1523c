import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { pushJob } from "../../../src/commands/push.ts";
import type { NonEmpty } from "../../../src/non-empty.ts";
import type { TransferResult } from "../../../src/output/events.ts";
import { outputTo } from "../../../src/output/output.ts";
import { pushToHosts } from "../../../src/run-batch/push-to-hosts.ts";
import type { PushRequest, RemoteBatch } from "../../../src/request.ts";
import { deferred } from "../../../src/streams/deferred.ts";

const { batch } = pushJob({ images: ["oci:none:app:v1"], command: ["ssh://a", "ssh://b"] }, {}, {});
const remotes = batch.remotes as NonEmpty<RemoteBatch<PushRequest>>;

test("after Ctrl-C, waits until the transfers with all hosts have cleaned up", async () => {
  const stop = new AbortController();
  const [bothRun, cleanedUp] = [deferred<void>(), deferred<void>()];
  let running = 0;
  const pushed = pushToHosts(
    remotes,
    2,
    { output: outputTo(() => {}), signal: stop.signal, env: {} },
    async (remote, { output }) => {
      output.detail({ code: "tunnel-opened", peerVersion: "0.1.0" }); // the next login may begin
      if (++running === remotes.length) bothRun.resolve();
      await new Promise((resolve) => stop.signal.addEventListener("abort", resolve));
      if (remote === remotes[1]) await cleanedUp.promise;
      throw stop.signal.reason;
    },
  );
  let isOver = false;
  const over = pushed.catch(() => {}).then(() => (isOver = true));
  await bothRun.promise;
  stop.abort(new Error("Ctrl-C"));
  for (let turn = 0; turn < 20; turn++) await setImmediate();
  expect(isOver).toBe(false);
  cleanedUp.resolve();
  await over;
  await expect(pushed).rejects.toThrow("Ctrl-C");
});

test("hosts share sources, and a single host has its own", async () => {
  const shared: boolean[] = [];
  const push = async (...to: NonEmpty<RemoteBatch<PushRequest>>) =>
    await pushToHosts(
      to,
      2,
      { output: outputTo(() => {}), signal: new AbortController().signal, env: {} },
      async (_, __, open) => {
        shared.push(open !== undefined);
        return await Promise.resolve([{} as TransferResult] as const);
      },
    );
  await push(remotes[0]);
  await push(...remotes);
  expect(shared).toEqual([false, true, true]);
});
