import { expect, test } from "vitest";
import { hostConnection } from "../../../../src/commands/options/host-options.ts";
import { RelayDialog } from "../../../../src/run-batch/relay/relay-dialog.ts";
import { spawnRemote } from "../../../../src/stdio-tunnel/remote-process.ts";

const connection = hostConnection("ssh://a", { protocol: "docker", container: "a" }, {}, {});

/** Blocks this process like Ctrl-Z. */
const block = (ms: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

/** Passes images on with a relay that is this program. `meanwhile` is called when it runs. */
async function pass(program: string, timeout: number, meanwhile = (): void => {}): Promise<string[]> {
  await using child = spawnRemote(["sh", "-c", program], () => {}, { leaveTimeout: 200 });
  const lines: string[] = [];
  const dialog = new RelayDialog({ child } as never, connection);
  const passed = dialog.pass([], (line) => lines.push(line), { signal: new AbortController().signal, timeout });
  meanwhile();
  await passed;
  return lines;
}

test("does not treat a relay as silent if it has sent signs of life while this process was stopped", async () => {
  const program = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.2; echo; done; echo end";
  expect(await pass(program, 1_000, () => block(1_500))).toEqual(["end"]);
});

test("a relay that closes its output and continues to run has not succeeded", async () => {
  await expect(pass("exec >&-; exec sleep 10", 10_000)).rejects.toMatchObject({
    code: "link-lost",
    message: "the relay on ssh://a has closed its output, but has not ended",
  });
});
