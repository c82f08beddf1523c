import { withOutput } from "../../child-process/exit.ts";
import { exitOf } from "./container-exit.ts";
import type { DockerApi } from "./docker-api.ts";
import type { ContainerSpec, FoundContainer, RunningContainer } from "../engine-containers.ts";
import { EngineError } from "../engine-error.ts";
import { fullName, tryReference } from "../../image/reference.ts";
import { endOfLog } from "./log-frames.ts";

/** Attempts to publish a port: the engine first picks a port and then binds it, and another program may bind it in between. */
const PORT_ATTEMPTS = 3;

/** Bytes of a failed container's output that a message contains. */
const LOG_BYTES = 4096;

/**
 * Creates a container, adds its files, starts it, and reads the port that the engine has published. If a step after its creation fails,
 * the container is removed before this rejects.
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
  // The signal is checked between these short requests and does not abort them: an unread answer may contain the ID of a container, which
  // nothing would remove.
  const creation = { effect: "creates", timeout: "work", signal } as const;
  const { Id: id } = (await api.json("POST", "/containers/create", { ...creation, body: createBody(spec) })) as {
    Id: string;
  };
  try {
    signal?.throwIfAborted();
    if (Object.keys(spec.files).length > 0) {
      const { archiveOf } = await import("./file-archive.ts"); // loads the tar library
      const archive = await archiveOf(spec.files);
      await api.json("PUT", `/containers/${id}/archive`, { ...creation, query: { path: "/" }, archive });
    }
    signal?.throwIfAborted();
    await api.json("POST", `/containers/${id}/start`, creation);
    signal?.throwIfAborted();
    const port = await publishedPort(api, id, spec);
    signal?.throwIfAborted();
    return watch(api, id, port);
  } catch (error) {
    await removeContainer(api, id).catch(() => {}); // the first error matters more; the next run finds the container by its label
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
  const log = await readLog(api, id, LOG_BYTES, signal);
  const happened = State.Running
    ? `has no published port ${port}`
    : `stopped as soon as it was started, with status ${State.ExitCode}`;
  throw new EngineError(`the container of ${image} ${happened}${withOutput(log)}`);
}

function watch(api: DockerApi, id: string, port: number): RunningContainer {
  const removed = new AbortController();
  return {
    id,
    port,
    exited: exitOf(api, id, removed.signal),
    logs: (maxBytes = LOG_BYTES) => readLog(api, id, maxBytes),
    async remove() {
      await removeContainer(api, id);
      removed.abort(); // the engine no longer knows its status
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

/** Lists the containers with a label, including stopped ones. */
export async function findContainers(api: DockerApi, label: string): Promise<FoundContainer[]> {
  const found = (await api.json("GET", "/containers/json", { query: { all: true, filters: { label: [label] } } })) as {
    Id: string;
    Labels?: Record<string, string> | null;
    State?: string;
  }[];
  return found.map(({ Id, Labels, State }) => ({ id: Id, labels: Labels ?? {}, isRunning: State === "running" }));
}

/** Returns the images of all containers, by ID and by name. */
export async function usedImages(api: DockerApi): Promise<Set<string>> {
  const found = (await api.json("GET", "/containers/json", { query: { all: true } })) as {
    Image?: string;
    ImageID?: string;
  }[];
  return new Set(
    found.flatMap(({ Image = "", ImageID = "" }) => {
      const reference = tryReference(Image);
      return reference === undefined ? [ImageID] : [ImageID, fullName(reference)];
    }),
  );
}

/** Removes a container. Also resolves if it does not exist (404), or if another request is removing it (409). */
export async function removeContainer(api: DockerApi, id: string): Promise<void> {
  try {
    await api.json("DELETE", `/containers/${id}`, { effect: "removes", query: { force: true, v: true } });
  } catch (error) {
    const isRemoved =
      error instanceof EngineError &&
      (error.status === 404 || (error.status === 409 && /already in progress/i.test(error.message)));
    if (!isRemoved) throw error;
  }
}

/** Matches the messages of Docker's allocator, of the kernel (through docker-proxy), and of Podman. */
function isPortTaken(error: unknown): error is EngineError {
  return error instanceof EngineError && /port is already allocated|address already in use/i.test(error.message);
}
