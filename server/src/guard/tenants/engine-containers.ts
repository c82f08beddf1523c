import type { EngineApi } from "../engine/engine-api.ts";
import { EngineAnswer } from "../engine/engine-api.ts";
import { POD_LABELS } from "./pod-tenant.ts";

/** A container of a pod, from `GET /containers/json`. */
export interface PodContainer {
  id: string;
  uid: string;
  name: string | undefined;
  namespace: string | undefined;
  /** Whether its processes run, or may start */
  isLive: boolean;
  /** The source of the writable mount in which the socket belongs */
  source: string | undefined;
  /** Whether a kubelet created it. Another container of an image that a pod has built has the pod's labels as well. */
  isOfKubelet: boolean;
}

/** Paths at which a pod may mount the emptyDir */
const DESTINATIONS = new Set(["/var/run/docker", "/run/docker"]);
const ENDED_STATES = new Set(["exited", "dead", "removing"]);
/** A label of each container that the kubelet creates, including the pause container */
const KUBELETS_LABEL = "io.kubernetes.container.name";

interface Listed {
  Id: string;
  State?: string;
  Labels?: Record<string, string>;
  Mounts?: { Type?: string; Source?: string; Destination?: string; RW?: boolean }[];
}

export async function listPodContainers(engine: EngineApi, signal: AbortSignal): Promise<PodContainer[]> {
  const filters = JSON.stringify({ label: [POD_LABELS.uid] });
  const query = [["all", "1"] as const, ["filters", filters] as const];
  const listed = (await engine.json({ method: "GET", path: "/containers/json", query, signal })) as Listed[];
  return listed.map(({ Id, State = "", Labels = {}, Mounts = [] }) => ({
    id: Id,
    uid: Labels[POD_LABELS.uid] ?? "",
    name: Labels[POD_LABELS.name],
    namespace: Labels[POD_LABELS.namespace],
    isLive: !ENDED_STATES.has(State),
    source: Mounts.find(
      ({ Type, Destination = "", RW }) => Type === "bind" && RW === true && DESTINATIONS.has(Destination),
    )?.Source,
    isOfKubelet: Labels[KUBELETS_LABEL] !== undefined,
  }));
}

/**
 * Returns the cgroup parent of a container, in the engine's format; empty if it has none, undefined if the container no
 * longer exists.
 */
export async function cgroupParentOf(engine: EngineApi, id: string, signal: AbortSignal): Promise<string | undefined> {
  const found = (await inspectContainer(engine, id, signal)) as { HostConfig?: { CgroupParent?: string } } | undefined;
  return found && (found.HostConfig?.CgroupParent ?? "");
}

/**
 * Returns whether the processes of a container run, or may start. An engine's list may be older than the event that
 * caused the query; this result is current.
 */
export async function isStillLive(engine: EngineApi, id: string, signal: AbortSignal): Promise<boolean> {
  const found = (await inspectContainer(engine, id, signal)) as { State?: { Status?: string } } | undefined;
  return found !== undefined && !ENDED_STATES.has(found.State?.Status ?? "");
}

/** Returns undefined if the container no longer exists. */
async function inspectContainer(engine: EngineApi, id: string, signal: AbortSignal): Promise<unknown> {
  try {
    return await engine.json({ method: "GET", path: `/containers/${id}/json`, signal });
  } catch (error) {
    if (error instanceof EngineAnswer && error.statusCode === 404) return undefined;
    throw error;
  }
}
