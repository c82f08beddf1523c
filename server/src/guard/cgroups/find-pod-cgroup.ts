import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";

/** Depth of the search: `/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/…` has four levels. */
const DEPTH = 5;
/** The search enters only these cgroups, and no pod: a machine may have thousands of cgroups. */
const ABOVE_PODS = /kubepods|kubelet|^burstable$|^besteffort$|^guaranteed$/;
const A_POD = /pod[0-9a-f_-]+(?:\.slice)?$/;

/**
 * Finds the cgroup that the kubelet has created for a pod. Its name depends on the driver: `/kubepods/burstable/podUID`
 * or `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice`, with `_` for each hyphen of the UID.
 *
 * @param root mount point of the cgroups, version 1 or 2
 * @returns its path relative to root; undefined if it does not exist
 */
export async function findPodCgroup(uid: string, root = "/sys/fs/cgroup"): Promise<string | undefined> {
  const tree = await lstat(join(root, "cgroup.controllers")).then(
    () => root,
    () => join(root, "memory"),
  );
  const isPod = (name: string): boolean =>
    name === `pod${uid}` || name.endsWith(`-pod${uid.replaceAll("-", "_")}.slice`);
  let level = [""];
  for (let depth = 0; depth < DEPTH && level.length > 0; depth++) {
    const found = (await Promise.all(level.map((path) => childrenOf(tree, path)))).flat();
    const pod = found.find((path) => isPod(nameOf(path)));
    if (pod !== undefined) return pod;
    level = found.filter((path) => ABOVE_PODS.test(nameOf(path)) && !A_POD.test(nameOf(path)));
  }
  return undefined;
}

const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1);

async function childrenOf(tree: string, path: string): Promise<string[]> {
  const entries = await readdir(join(tree, path), { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => `${path}/${name}`);
}
