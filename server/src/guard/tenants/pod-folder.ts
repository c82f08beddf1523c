import { lstat, realpath } from "node:fs/promises";
import { dirname, join } from "node:path";

/** Where the kubelet has the emptyDirs of a pod, below its own folder */
export const EMPTY_DIRS = "volumes/kubernetes.io~empty-dir";

/** What was found at the path of a pod's emptyDir. */
export type PodFolder =
  | { isUsable: true; path: string; /** Whether it is a tmpfs (`medium: Memory`) */ isInMemory: boolean }
  | { isUsable: false; reason: string };

/**
 * Inspects a pod's emptyDir. Its path is made here of the UID and a name, and must be a folder without a link on the way: what a container claims to mount
 * never decides where a socket is created.
 *
 * @param kubelet the kubelet's folder, which may be a link
 */
export async function inspectPodFolder(kubelet: string, uid: string, volume: string): Promise<PodFolder> {
  const path = join(kubelet, "pods", uid, EMPTY_DIRS, volume);
  try {
    const found = await lstat(path);
    if (!found.isDirectory()) return { isUsable: false, reason: `${path} is not a folder` };
    const real = join(await realpath(kubelet), "pods", uid, EMPTY_DIRS, volume);
    if ((await realpath(path)) !== real) return { isUsable: false, reason: `there is a symbolic link in ${path}` };
    return { isUsable: true, path, isInMemory: (await lstat(dirname(path))).dev !== found.dev };
  } catch (error) {
    return { isUsable: false, reason: `${path} cannot be seen: ${(error as NodeJS.ErrnoException).code ?? "unknown"}` };
  }
}

/**
 * Returns the name of the emptyDir that a mount has as its source; undefined for what is not an emptyDir of this pod.
 *
 * @param roots the kubelet's folder, as it is named and as it is
 */
export function volumeOf(source: string, uid: string, roots: readonly string[]): string | undefined {
  for (const root of roots) {
    const before = `${join(root, "pods", uid, EMPTY_DIRS)}/`;
    const name = source.startsWith(before) ? source.slice(before.length) : "";
    if (/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(name)) return name;
  }
  return undefined;
}
