import { expect, test, vi } from "vitest";
import { PLAIN_ORDER } from "../../fixtures/build-order.ts";
import { openContext } from "../../../src/build/open-context.ts";
import { outputTo } from "../../../src/output/output.ts";
import { buildOnRemote } from "../../../src/run-batch/build-on-remote.ts";
import type { BuildRequest } from "../../../src/request.ts";

vi.mock("../../../src/build/open-context.ts", () => ({ openContext: vi.fn<typeof openContext>() }));

test("does not wait for an archive that still arrives if the remote command fails", async () => {
  vi.mocked(openContext).mockImplementation(
    async (_files, _dockerfile, { signal }) =>
      await new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason as Error));
      }),
  );
  const request: BuildRequest = {
    role: "receiver",
    connection: { kind: "command", words: [process.execPath, "-e", "process.exit(3)"] },
    isRenamed: false,
    target: { kind: "docker-daemon", endpoint: undefined, via: "load" },
    build: {
      order: PLAIN_ORDER,
      files: { kind: "stdin" },
      secrets: [],
      agents: [],
      goal: { kind: "image", push: false, isBroughtBack: false },
    },
  };
  const context = { output: outputTo(() => {}), signal: new AbortController().signal, env: {} };
  const onFailed = vi.fn<() => Promise<void>>().mockResolvedValue();
  const built = buildOnRemote(request, context, { onEvent: () => {}, onBuilt: () => {}, onFailed });
  await expect(built).rejects.toMatchObject({ code: "remote-not-a-tunnel" });
  expect(onFailed).toHaveBeenCalledTimes(1);
});
