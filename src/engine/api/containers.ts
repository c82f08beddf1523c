import { exitOf } from "./container-exit.ts";
import type { DockerApi } from "./docker-api.ts";
import type { ContainerSpec, FoundContainer, RunningContainer } from "../engine-containers.ts";
import { EngineError } from "../engine-error.ts";
import { endOfLog } from "./log-frames.ts";

/** The engine picks a port and then binds it; somebody else may be faster. Then another one is tried, so many times in all. */
const PORT_ATTEMPTS = 3;

/** What is shown of a container that failed, bytes. */
const LOG_KEPT = 4096;

/**
 * Creates a container, puts its files in, starts it, and learns the port that the engine has published.
 * Whatever goes wrong after it was created, it is removed before this rejects, if the engine does it.
 */
export async function runContainer(api: DockerApi, spec: ContainerSpec): Promise<RunningContainer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await runOnce(api, spec);
    } catch (error) {
      if (!isPortTaken(error)) throw error;
      if (attempt === PORT_ATTEMPTS) {
        throw new EngineError(
          `cannot publish port ${spec.port} of ${spec.image} on 127.0.0.1, ${PORT_ATTEMPTS} ports were taken: ${error.message}`,
          error.status,
          { cause: error },
        );
      }
    }
  }
}

async function runOnce(api: DockerApi, spec: ContainerSpec): Promise<RunningContainer> {
  const { signal } = spec;
  signal?.throwIfAborted();
  // The short requests from here on are not aborted half-way, but looked at in between: an answer that is not read
  // to its end may name a container that nobody would ever remove.
  const makes = { effect: "makes", patience: "work", signal } as const;
  const { Id: id } = (await api.json("POST", "/containers/create", { ...makes, body: createBody(spec) })) as {
    Id: string;
  };
  try {
    signal?.throwIfAborted();
    if (Object.keys(spec.files).length > 0) {
      const { archiveOf } = await import("./file-archive.ts"); // loads the tar library
      const archive = await archiveOf(spec.files);
      await api.json("PUT", `/containers/${id}/archive`, { ...makes, query: { path: "/" }, archive });
    }
    signal?.throwIfAborted();
    await api.json("POST", `/containers/${id}/start`, makes);
    signal?.throwIfAborted();
    const port = await publishedPort(api, id, spec);
    signal?.throwIfAborted();
    return watch(api, id, port);
  } catch (error) {
    await removeContainer(api, id).catch(() => {}); // why it failed says more; the next run finds it by its label
    throw error;
  }
}

function createBody({ image, labels, env, port }: ContainerSpec): object {
  const name = `${port}/tcp`;
  return {
    Image: image,
    Labels: labels,
    Env: Object.entries(env).map(([key, value]) => `${key}=${value}`),
    ExposedPorts: { [name]: {} },
    HostConfig: { PortBindings: { [name]: [{ HostIp: "127.0.0.1", HostPort: "" }] } },
  };
}

interface ContainerInspect {
  State: { Running: boolean; ExitCode: number };
  NetworkSettings: { Ports?: Record<string, { HostPort: string }[] | null> | null };
}

async function publishedPort(api: DockerApi, id: string, { image, port, signal }: ContainerSpec): Promise<number> {
  const { State, NetworkSettings } = (await api.json("GET", `/containers/${id}/json`, { signal })) as ContainerInspect;
  const published = Number(NetworkSettings.Ports?.[`${port}/tcp`]?.[0]?.HostPort);
  if (State.Running && published > 0) return published;
  const words = (await readLog(api, id, LOG_KEPT, signal)).trim();
  const happened = State.Running
    ? `has no published port ${port}`
    : `stopped as soon as it was started, with status ${State.ExitCode}`;
  throw new EngineError(`the container of ${image} ${happened}${words === "" ? "" : `. It printed:\n${words}`}`);
}

function watch(api: DockerApi, id: string, port: number): RunningContainer {
  const removed = new AbortController();
  return {
    id,
    port,
    exited: exitOf(api, id, removed.signal),
    logs: (maxBytes = LOG_KEPT) => readLog(api, id, maxBytes),
    async remove() {
      await removeContainer(api, id);
      removed.abort(); // an engine that has not said by now how it ended will not say it any more
    },
  };
}

async function readLog(api: DockerApi, id: string, maxBytes: number, signal?: AbortSignal): Promise<string> {
  const frames = await api.stream("GET", `/containers/${id}/logs`, {
    query: { stdout: true, stderr: true, tail: 1000 },
    signal,
  });
  return await endOfLog(frames, maxBytes);
}

/** Stopped ones too. */
export async function findContainers(api: DockerApi, label: string): Promise<FoundContainer[]> {
  const found = (await api.json("GET", "/containers/json", { query: { all: true, filters: { label: [label] } } })) as {
    Id: string;
    Labels?: Record<string, string> | null;
  }[];
  return found.map(({ Id, Labels }) => ({ id: Id, labels: Labels ?? {} }));
}

/** Resolves also when it is gone (404), or when somebody else is removing it (409). */
export async function removeContainer(api: DockerApi, id: string): Promise<void> {
  try {
    await api.json("DELETE", `/containers/${id}`, { effect: "removes", query: { force: true, v: true } });
  } catch (error) {
    const isGone =
      error instanceof EngineError &&
      (error.status === 404 || (error.status === 409 && /already in progress/i.test(error.message)));
    if (!isGone) throw error;
  }
}

/** Docker's own allocator, the kernel (through docker-proxy), and Podman's words for it. */
function isPortTaken(error: unknown): error is EngineError {
  return error instanceof EngineError && /port is already allocated|address already in use/i.test(error.message);
}
