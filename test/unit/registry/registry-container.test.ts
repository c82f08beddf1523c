import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, test, vi } from "vitest";
import type { Engine } from "../../../src/engine/engine.ts";
import type { RunningContainer } from "../../../src/engine/engine-containers.ts";
import { EngineError } from "../../../src/engine/engine-error.ts";
import { newRunId } from "../../../src/run/run-id.ts";
import { Failure } from "../../../src/output/errors.ts";
import { startRegistryContainer } from "../../../src/registry/registry-container.ts";

const engineGone = new Failure("engine-unreachable", "the engine is gone");
const failing = async (): Promise<never> => await Promise.reject(engineGone);

/** An engine that has the image, and uses this function to run containers. */
function engineWith(runContainer: Engine["runContainer"]): Engine {
  return { address: "unix:///engine", inspectImage: async () => ({}), runContainer } as unknown as Engine;
}

function container(changes: Partial<RunningContainer>): RunningContainer {
  return { id: "c1", port: 1, exited: new Promise(() => {}), logs: failing, remove: failing, ...changes };
}

const start = (engine: Engine, signal = new AbortController().signal) =>
  startRegistryContainer(engine, { runId: newRunId(), signal, onProgress: () => {} });

describe("a registry container that does not start", () => {
  test("is reported with the engine's error", async () => {
    const message = "OCI runtime create failed: cgroup";
    const engine = engineWith(async () => await Promise.reject(new EngineError(message, 500)));
    await expect(start(engine)).rejects.toMatchObject({
      name: "Failure",
      code: "registry-unavailable",
      message: `unix:///engine could not start a registry container from registry:2: ${message}`,
      hint: expect.stringContaining("--registry HOST:PORT"),
    });
  });

  test("passes on other failures", async () => {
    await expect(start(engineWith(failing))).rejects.toBe(engineGone);
  });
});

describe("an engine that is no longer available hides no error", () => {
  test("when the registry does not become ready", async () => {
    const exited = Promise.resolve({ status: 2 });
    await expect(start(engineWith(async () => container({ exited })))).rejects.toMatchObject({
      message: "the temporary registry is gone: it stopped with status 2",
    });
  });

  test("when the container's status is unknown", async () => {
    const exited = Promise.resolve({ status: -1 });
    await expect(start(engineWith(async () => container({ exited })))).rejects.toMatchObject({
      message: "the temporary registry is gone: it was removed, or its engine is gone",
    });
  });

  test("when the registry is removed", async () => {
    const server = createServer((_request, response) => response.end("{}"));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const remove = vi.fn<() => Promise<never>>(failing);
    const { port } = server.address() as AddressInfo;
    const first = new Error("the first");
    const transfer = async (): Promise<never> => {
      await using _registry = await start(engineWith(async () => container({ port, remove })));
      throw first;
    };
    await expect(transfer()).rejects.toBe(first);
    expect(remove).toHaveBeenCalledOnce();
    server.closeAllConnections();
    server.close();
  });
});
