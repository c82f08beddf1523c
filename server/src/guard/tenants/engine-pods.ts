import { realpath } from "node:fs/promises";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "docker-over-ssh/builds";
import type { EngineApi } from "../engine/engine-api.ts";
import type { TenantDefaults } from "../settings.ts";
import { isTenantId, type TenantEndpoint } from "../tenant.ts";
import { cgroupParentOf, isStillLive, listPodContainers, type PodContainer } from "./engine-containers.ts";
import { PodChanges } from "./pod-changes.ts";
import { inspectPodFolder, volumeOf } from "./pod-folder.ts";
import { POD_LABELS, podEndpoint } from "./pod-tenant.ts";
import { coalesceRuns } from "./coalesce-runs.ts";
import type { TenantSource } from "./tenant-source.ts";

export interface EnginePodsOptions {
  engine: EngineApi;
  defaults: TenantDefaults;
  /** The kubelet's folder. Default: `/var/lib/kubelet` */
  kubelet?: string | undefined;
  /** ms, doubled by each failure to reach the engine, up to a factor of 64 */
  firstPause?: number;
}

const EVENTS = ["create", "start", "die", "destroy"];
/** ms after which containers are listed even without an event: an engine drops events of a slow reader. */
const INTERVAL = 30_000;
const FIRST_PAUSE = 250;
const MOST_DOUBLINGS = 6;

/**
 * Finds the engine's pods with a container that mounts a writable emptyDir at `/var/run/docker`. An event only triggers
 * a new list of the containers, so a missed event does no harm, and neither does a pod that is removed while the engine
 * cannot be reached.
 */
export function enginePods(options: EnginePodsOptions): TenantSource {
  return {
    name: "--kubernetes",
    tenantsReturn: false,
    async follow(changes, { signal, onReady }) {
      const { firstPause = FIRST_PAUSE, engine } = options;
      const scan = podScanner(options, new PodChanges(changes), signal);
      let failures = 0;
      let isReady = false;
      const onListed = (): void => {
        failures = 0;
        if (!isReady) onReady();
        isReady = true;
      };
      while (!signal.aborted) {
        try {
          await whileConnected(engine, scan, onListed, signal);
        } catch (error) {
          if (signal.aborted) return;
          if (failures === 0)
            changes.onProblem(`--kubernetes: ${messageOf(error)}. The guard retries until it answers.`);
        }
        const pause = firstPause * 2 ** Math.min(failures++, MOST_DOUBLINGS);
        await sleep(pause, undefined, { signal }).catch(() => {});
      }
    },
  };
}

/**
 * Follows the events of one connection, and lists the containers after each. Rejects when the connection is lost, or a
 * list fails.
 */
async function whileConnected(
  engine: EngineApi,
  scan: () => Promise<void>,
  onListed: () => void,
  signal: AbortSignal,
): Promise<void> {
  const filters = { type: ["container"], event: EVENTS, label: [POD_LABELS.uid] };
  const query = [["filters", JSON.stringify(filters)] as const];
  // Opened before the list, so that no change is missed.
  const { body } = await engine.request({ method: "GET", path: "/events", query, signal });
  const scans = coalesceRuns(scan);
  const ask = (): void => void scans.request().catch((error: unknown) => body.destroy(error as Error));
  const timer = setInterval(ask, INTERVAL).unref();
  try {
    const ended = endOf(body.on("data", ask));
    ended.catch(() => {}); // awaited below
    await scans.request();
    onListed();
    await ended;
  } finally {
    clearInterval(timer);
    body.destroy();
  }
}

async function endOf(body: Readable): Promise<void> {
  await new Promise<void>((_, reject) => {
    body.once("error", reject);
    body.once("close", () => reject(new Error("the engine has closed its connection")));
  });
}

/** Returns a function that lists the pods, and reports the changes. */
function podScanner(options: EnginePodsOptions, changes: PodChanges, signal: AbortSignal): () => Promise<void> {
  const { engine, defaults, kubelet = "/var/lib/kubelet" } = options;
  const parents = new Map<string, string>();

  const parentOf = async (id: string): Promise<string | undefined> => {
    const parent = parents.get(id) ?? (await cgroupParentOf(engine, id, signal));
    if (parent !== undefined) parents.set(id, parent);
    return parent;
  };
  const endpointOf = async ({
    id,
    uid,
    name,
    namespace,
    source = "",
    isLive,
  }: PodContainer): Promise<TenantEndpoint | undefined> => {
    const podName = `the pod ${namespace ?? "?"}/${name ?? uid}`;
    const volume = volumeOf(source, uid, [kubelet, await realpath(kubelet).catch(() => kubelet)]);
    if (volume === undefined) {
      changes.problem(uid, `${podName} mounts ${source}, which is not its emptyDir in ${kubelet}: it gets no socket`);
      return undefined;
    }
    const folder = await inspectPodFolder(kubelet, uid, volume);
    if (!folder.isUsable) {
      if (isLive) changes.problem(uid, `${podName} gets no socket: ${folder.reason}`);
      return undefined;
    }
    // The kubelet could not unmount a tmpfs in which a socket is open.
    if (folder.isInMemory && !(isLive && (await isStillLive(engine, id, signal)))) return undefined;
    const cgroupParent = await parentOf(id);
    if (cgroupParent === undefined) return undefined;
    return podEndpoint({ uid, name, namespace, cgroupParent }, folder.path, defaults);
  };

  return async () => {
    const containers = (await listPodContainers(engine, signal)).filter(({ uid }) => isTenantId(uid));
    const now = new Map<string, TenantEndpoint | undefined>();
    for (const container of containers) {
      if (container.isOfKubelet || container.source !== undefined) now.set(container.uid, undefined);
    }
    const mounting = containers.filter(({ source }) => source !== undefined);
    // Live containers first, in a stable order.
    mounting.sort((a, b) => Number(b.isLive) - Number(a.isLive) || (a.id < b.id ? -1 : 1));
    for (const container of mounting) {
      if (now.get(container.uid) === undefined) now.set(container.uid, await endpointOf(container));
    }
    for (const id of parents.keys()) if (!containers.some((container) => container.id === id)) parents.delete(id);
    changes.update(now);
  };
}
