import { watch } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { Failure, messageOf } from "docker-over-ssh/builds";
import { findPodCgroup } from "../cgroups/find-pod-cgroup.ts";
import type { TenantDefaults } from "../settings.ts";
import { isTenantId, type TenantEndpoint } from "../tenant.ts";
import { PodChanges } from "./pod-changes.ts";
import { openPodDirectory, type ApiServer, type PodDirectory } from "./pod-directory.ts";
import { EMPTY_DIRS, inspectPodFolder } from "./pod-folder.ts";
import { podEndpoint } from "./pod-tenant.ts";
import { coalesceRuns } from "./coalesce-runs.ts";
import type { TenantSource } from "./tenant-source.ts";

export interface KubeletPodsOptions {
  /** The kubelet's folder */
  folder: string;
  /** The name of the emptyDir that contains the socket */
  volume: string;
  defaults: TenantDefaults;
  /** Provides the names of pods; undefined: only their UIDs are known */
  server: ApiServer | undefined;
  cgroupRoot?: string | undefined;
  /**
   * ms between two scans of the folder. The watcher reports only new pods, and their emptyDirs are created a little
   * later.
   */
  interval?: number;
}

const INTERVAL = 1_000;

/**
 * Finds pods of any container runtime that have an emptyDir of a given name:
 * `pods/UID/volumes/kubernetes.io~empty-dir/NAME` in the kubelet's folder.
 */
export function kubeletPods(options: KubeletPodsOptions): TenantSource {
  const { folder, server, interval = INTERVAL } = options;
  return {
    name: "--kubelet-dir",
    tenantsReturn: false,
    async follow(changes, { signal, onReady }) {
      let problem: string | undefined;
      const onChange = (): void =>
        void scans.request().then(
          () => (problem = undefined),
          (error: unknown) => {
            // No pod is reported as removed, because the folder may be unmounted for a moment.
            const now = `--kubelet-dir: cannot find pods: ${messageOf(error)}`;
            if (problem === undefined && !signal.aborted) changes.onProblem(now);
            problem = now;
          },
        );
      let directory: PodDirectory | undefined;
      const scans = coalesceRuns(podScanner(options, () => directory, new PodChanges(changes)));
      const { onProblem } = changes;
      if (server !== undefined) directory = await openPodDirectory(server, { onChange, onProblem });
      await using _opened = directory;
      try {
        await scans.request();
      } catch (error) {
        throw notFound(folder, error);
      }
      onReady();
      const timer = setInterval(onChange, interval);
      const watcher = watchFolder(join(folder, "pods"), onChange);
      await aborted(signal);
      clearInterval(timer);
      watcher?.close();
    },
  };
}

function notFound(folder: string, error: unknown): Failure {
  return new Failure("usage", `cannot find pods in --kubelet-dir ${folder}: ${messageOf(error)}`, {
    expected: "the folder of a kubelet, which contains pods/",
    hint: "The default is /var/lib/kubelet; the kubelet's --root-dir changes it. In a pod, mount it at the same path.",
    cause: error,
  });
}

function podScanner(
  { folder, volume, defaults, cgroupRoot }: KubeletPodsOptions,
  directory: () => PodDirectory | undefined,
  changes: PodChanges,
): () => Promise<void> {
  const cgroups = new Map<string, string>();
  const cgroupOf = async (uid: string): Promise<string | undefined> => {
    const found = cgroups.get(uid) ?? (await findPodCgroup(uid, cgroupRoot));
    if (found !== undefined) cgroups.set(uid, found);
    return found;
  };
  const endpointOf = async (uid: string): Promise<TenantEndpoint | undefined> => {
    const found = await inspectPodFolder(folder, uid, volume);
    const pod = { uid, ...directory()?.find(uid) };
    const podName = `the pod ${pod.name === undefined ? uid : `${pod.namespace}/${pod.name}`}`;
    if (!found.isUsable) {
      changes.problem(uid, `${podName} gets no socket: ${found.reason}`);
      return undefined;
    }
    if (found.isInMemory) {
      const path = `${found.path} is in memory, and the kubelet could not remove it while a socket is open in it`;
      changes.problem(uid, `${podName} gets no socket: ${path}. Remove "medium: Memory" from its emptyDir.`);
      return undefined;
    }
    return podEndpoint({ ...pod, cgroupParent: await cgroupOf(uid) }, found.path, defaults);
  };
  return async () => {
    const uids = (await readdir(join(folder, "pods"))).filter(isTenantId);
    const now = new Map<string, TenantEndpoint | undefined>();
    for (const uid of uids) if (await hasVolume(folder, uid, volume)) now.set(uid, await endpointOf(uid));
    for (const uid of cgroups.keys()) if (!now.has(uid)) cgroups.delete(uid);
    changes.update(now);
  };
}

/**
 * Returns whether a pod has the volume. A pod without it is not a tenant, and not a problem. Rejects if the folder of a
 * pod cannot be read.
 */
async function hasVolume(folder: string, uid: string, volume: string): Promise<boolean> {
  try {
    return (await readdir(join(folder, "pods", uid, EMPTY_DIRS))).includes(volume);
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (["ENOENT", "ENOTDIR"].includes(code)) return false;
    throw error;
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

function watchFolder(path: string, onChange: () => void): { close: () => void } | undefined {
  try {
    const watcher = watch(path, onChange);
    watcher.on("error", () => watcher.close());
    return watcher;
  } catch {
    return undefined;
  }
}
