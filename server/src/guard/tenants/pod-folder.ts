import { lstat, realpath } from "node:fs/promises";
import { dirname, join } from "node:path";

/** The folder of a pod's emptyDirs, below the kubelet's folder */
export const EMPTY_DIRS = "volumes/kubernetes.io~empty-dir";

/** The result of inspecting the path of a pod's emptyDir. */
export type PodFolder =
  | { isUsable: true; path: string; /** Whether it is a tmpfs (`medium: Memory`) */ isInMemory: boolean }
  | { isUsable: false; reason: string };

/**
 * Inspects a pod's emptyDir. Builds its path from the UID and a name. The path must lead to a folder without any link:
 * the mounts that a container claims never decide where a socket is created.
 *
 * @param kubelet the kubelet's folder, which may be a link
 */
export async function inspectPodFolder(kubelet: string, uid: string, volume: string): Promise<PodFolder> {
  const path = join(kubelet, "pods", uid, EMPTY_DIRS, volume);
  try {
    const found = await lstat(path);
    if (!found.isDirectory()) return { isUsable: false, reason: `${path} is not a folder` };
    const real = join(await realpath(kubelet), "pods", uid, EMPTY_DIRS, volume);
    if ((await realpath(path)) !== real) return { isUsable: false, reason: `${path} contains a symbolic link` };
    return { isUsable: true, path, isInMemory: (await lstat(dirname(path))).dev !== found.dev };
  } catch (error) {
    return { isUsable: false, reason: `${path} cannot be read: ${(error as NodeJS.ErrnoException).code ?? "unknown"}` };
  }
}

/**
 * Returns the name of the emptyDir that is the source of a mount; undefined for any other source.
 *
 * @param roots the kubelet's folder, as configured and with links resolved
 */
export function volumeOf(source: string, uid: string, roots: readonly string[]): string | undefined {
  for (const root of roots) {
    const before = `${join(root, "pods", uid, EMPTY_DIRS)}/`;
    const name = source.startsWith(before) ? source.slice(before.length) : "";
    if (/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(name)) return name;
  }
  return undefined;
}
