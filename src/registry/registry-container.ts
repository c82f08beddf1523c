import { setTimeout as pause } from "node:timers/promises";
import { hash } from "bcryptjs";
import type { EngineConnection } from "../engine/engine.ts";
import type { ContainerSpec, EngineContainers, RunningContainer } from "../engine/engine-containers.ts";
import type { Credentials } from "../engine/credentials.ts";
import type { EngineImages, EngineProgress } from "../engine/engine-images.ts";
import { EngineError } from "../engine/engine-error.ts";
import { RUN_LABEL } from "../run/run-id.ts";
import { Failure, messageOf } from "../output/errors.ts";
import { pingRegistry } from "./ping.ts";
import { newCredentials } from "./password.ts";
import type { RegistryOptions, TemporaryRegistry } from "./temporary-registry.ts";

const IMAGE = "registry:2";
const HTPASSWD = "/docker-over-ssh/htpasswd";
const PORT = 5000;
/** The lowest cost of bcrypt: the password has 192 random bits, and the registry hashes it for each request. */
const BCRYPT_COST = 4;
/** ms within which the registry must answer. */
const READY_TIMEOUT = 30_000;
/** ms between two requests. */
const READY_INTERVAL = 50;
/** ms for one request: docker-proxy accepts connections before the container's network is up, and some of these hang. */
const READY_REQUEST_TIMEOUT = 1_000;

/** The engine that runs the registry. */
export type RegistryEngine = Pick<EngineConnection, "address"> & EngineImages & EngineContainers;

/**
 * Starts `registry:2` with a password that is created for this run, on a port of 127.0.0.1 that the engine chooses (which avoids a race for
 * the port), and waits until it answers. Pulls the image if the engine lacks it.
 */
export async function startRegistryContainer(
  engine: RegistryEngine,
  options: RegistryOptions,
): Promise<TemporaryRegistry> {
  const { signal } = options;
  await pullIfMissing(engine, options);
  options.onProgress({ stage: "starting-registry", current: 0 });
  const credentials = newCredentials();
  const container = await startContainer(engine, await containerSpec(credentials, options));
  const gone = new AbortController();
  let isRemoved = false;
  void container.exited.then(({ status }) => {
    if (!isRemoved)
      gone.abort(
        registryGone(status < 0 ? "it was removed, or its engine is gone" : `it stopped with status ${status}`),
      );
  });
  const registry: TemporaryRegistry = {
    pushHost: `127.0.0.1:${container.port}`,
    pushCredentials: credentials,
    url: `http://127.0.0.1:${container.port}`,
    ownCredentials: credentials,
    signal: gone.signal,
    reportUnreachable: (reason) => gone.abort(registryGone(reason)),
    readLogs: () => container.logs(),
    async [Symbol.asyncDispose]() {
      isRemoved = true;
      await container.remove().catch(() => {}); // the next run finds the container by its label
    },
  };
  try {
    await waitUntilReady(registry, container, engine, AbortSignal.any([signal, gone.signal]));
    return registry;
  } catch (error) {
    await registry[Symbol.asyncDispose]();
    throw error;
  }
}

async function containerSpec(credentials: Credentials, { runId, signal }: RegistryOptions): Promise<ContainerSpec> {
  return {
    image: IMAGE,
    labels: { [RUN_LABEL]: runId },
    env: {
      REGISTRY_AUTH: "htpasswd",
      REGISTRY_AUTH_HTPASSWD_REALM: "docker-over-ssh",
      REGISTRY_AUTH_HTPASSWD_PATH: HTPASSWD,
      REGISTRY_LOG_LEVEL: "error",
    },
    port: PORT,
    files: { [HTPASSWD]: `${credentials.username}:${await hash(credentials.password, BCRYPT_COST)}\n` },
    signal,
  };
}

async function startContainer(engine: RegistryEngine, spec: ContainerSpec): Promise<RunningContainer> {
  try {
    return await engine.runContainer(spec);
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    throw new Failure(
      "registry-unavailable",
      `${engine.address} could not start a registry container from ${IMAGE}: ${error.message}`,
      {
        expected: `an engine that runs ${IMAGE} and publishes a port of it on 127.0.0.1`,
        hint: `Check the output of \`docker run --rm -p 127.0.0.1::${PORT} ${IMAGE}\` on the machine of the engine, or use another registry with --registry HOST:PORT.`,
        cause: error,
      },
    );
  }
}

async function pullIfMissing(engine: RegistryEngine, { signal, onProgress }: RegistryOptions): Promise<void> {
  if ((await engine.inspectImage(IMAGE)) !== undefined) return;
  const layers = new Map<string, { current: number; total: number }>();
  const report = ({ id, current, total }: EngineProgress): void => {
    if (id !== undefined && current !== undefined && total !== undefined) layers.set(id, { current, total });
    const sum = (pick: "current" | "total"): number =>
      [...layers.values()].reduce((all, layer) => all + layer[pick], 0);
    onProgress({ stage: "pulling-registry", current: sum("current"), total: sum("total") });
  };
  try {
    await engine.pullImage(`docker.io/library/${IMAGE}`, { signal, onProgress: report });
  } catch (error) {
    if (signal.aborted || error instanceof Failure) throw error;
    throw new Failure(
      "registry-unavailable",
      `the image ${IMAGE} is not on ${engine.address}, and pulling it failed: ${messageOf(error)}`,
      {
        expected: `${IMAGE} in the engine, or a registry to pull it from`,
        hint: `Copy it to that engine once (docker pull ${IMAGE} on any machine, then docker save | docker load), or use another registry with --registry HOST:PORT.`,
        cause: error,
      },
    );
  }
}

async function waitUntilReady(
  registry: TemporaryRegistry,
  container: RunningContainer,
  { address }: Pick<EngineConnection, "address">,
  signal: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT;
  for (;;) {
    const { state, reason } = await pingRegistry(registry.url, registry.ownCredentials, signal, READY_REQUEST_TIMEOUT);
    if (state === "ready") return;
    if (performance.now() > deadline) {
      const log = (await container.logs(2000).catch(() => "")).trim();
      throw new Failure(
        "registry-unavailable",
        `the registry container on ${address} does not answer at ${registry.url}: ${reason}${log && `. It printed:\n${log}`}`,
        {
          expected: "an engine whose published ports can be reached on 127.0.0.1 of this machine",
          hint: "For an engine on another machine, use a registry that both machines reach: --registry HOST:PORT.",
        },
      );
    }
    await pause(READY_INTERVAL, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

function registryGone(reason: string): Failure {
  return new Failure("registry-unavailable", `the temporary registry is gone: ${reason}`, {
    expected: `the ${IMAGE} container to run until the transfer is done`,
    hint: "Check the engine's log and its free memory, then run the same command again.",
  });
}
