import type { EngineApi } from "../engine/engine-api.ts";
import { EngineAnswer } from "../engine/engine-api.ts";
import { POD_LABELS } from "./pod-tenant.ts";

/** A container of a pod, as `GET /containers/json` tells it. */
export interface PodContainer {
  id: string;
  uid: string;
  name: string | undefined;
  namespace: string | undefined;
  /** Whether its processes run, or may start */
  isLive: boolean;
  /** The source of what it mounts, writable, where the socket belongs */
  source: string | undefined;
  /** Whether the container runtime of a kubelet has made it, and not somebody who runs an image that a pod has built: that has the pod's labels, too. */
  isOfKubelet: boolean;
}

/** Where a pod mounts the emptyDir */
const DESTINATIONS = new Set(["/var/run/docker", "/run/docker"]);
const OVER = new Set(["exited", "dead", "removing"]);
/** Of each container that the kubelet makes, the pause container included */
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
    isLive: !OVER.has(State),
    source: Mounts.find(
      ({ Type, Destination = "", RW }) => Type === "bind" && RW === true && DESTINATIONS.has(Destination),
    )?.Source,
    isOfKubelet: Labels[KUBELETS_LABEL] !== undefined,
  }));
}

/** Returns the cgroup below which a container is, as the engine names it; an empty text where it has none of its own, undefined when it has gone. */
export async function cgroupParentOf(engine: EngineApi, id: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    const found = (await engine.json({ method: "GET", path: `/containers/${id}/json`, signal })) as {
      HostConfig?: { CgroupParent?: string };
    };
    return found.HostConfig?.CgroupParent ?? "";
  } catch (error) {
    if (error instanceof EngineAnswer && error.statusCode === 404) return undefined;
    throw error;
  }
}
