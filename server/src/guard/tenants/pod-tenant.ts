import type { TenantDefaults } from "../settings.ts";
import type { TenantEndpoint } from "../tenant.ts";

/**
 * Labels with which container runtimes identify the pod of a container; the kubelet's values override those of the pod.
 */
export const POD_LABELS = {
  uid: "io.kubernetes.pod.uid",
  name: "io.kubernetes.pod.name",
  namespace: "io.kubernetes.pod.namespace",
} as const;

/** The known properties of a pod. */
export interface Pod {
  uid: string;
  name?: string | undefined;
  namespace?: string | undefined;
  /** A path, or the engine's name */
  cgroupParent?: string | undefined;
}

/** The name of the socket in the emptyDir, from `unix:///var/run/docker/docker.sock` */
const SOCKET = "docker.sock";

/** Returns the endpoint of a pod: it has the default settings, and its own cgroup. */
export function podEndpoint(pod: Pod, folder: string, defaults: TenantDefaults): TenantEndpoint {
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
