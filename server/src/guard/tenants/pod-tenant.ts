import type { TenantDefaults } from "../settings.ts";
import type { SeatedTenant } from "../tenant.ts";

/** Labels by which container runtimes say which pod a container is of; the kubelet sets them after those of the pod. */
export const POD_LABELS = {
  uid: "io.kubernetes.pod.uid",
  name: "io.kubernetes.pod.name",
  namespace: "io.kubernetes.pod.namespace",
} as const;

/** What is known of a pod. */
export interface Pod {
  uid: string;
  name?: string | undefined;
  namespace?: string | undefined;
  /** As a path, or as the engine names it */
  cgroupParent?: string | undefined;
}

/** The name of the socket in the emptyDir: of `unix:///var/run/docker/docker.sock` */
const SOCKET = "docker.sock";

/** Seats a pod: it has what the defaults say, in its own cgroup. */
export function seatPod(pod: Pod, folder: string, defaults: TenantDefaults): SeatedTenant {
  const { uid, name, namespace, cgroupParent } = pod;
  const { policy, resources, quotas, registryConfig } = defaults;
  return {
    tenant: {
      id: uid,
      labels: {
        [POD_LABELS.uid]: uid,
        ...(name !== undefined && { [POD_LABELS.name]: name }),
        ...(namespace !== undefined && { [POD_LABELS.namespace]: namespace }),
      },
      policy,
      resources: { ...resources, ...(cgroupParent && { cgroupParent }) },
      quotas,
      registryConfig,
    },
    socket: `${folder}/${SOCKET}`,
    isInTenantsFolder: true,
  };
}
