import { accessSync, constants } from "node:fs";
import { osRelease } from "./packages.ts";
import { run } from "./programs.ts";

export type Usable = { usable: true } | { usable: false; why: string };

/** Returns whether {@link startTestbed} can work on this machine, and if not, the reason in one line. */
export async function checkTestbed(): Promise<Usable> {
  const why = await whyNot();
  return why === undefined ? { usable: true } : { usable: false, why };
}

async function whyNot(): Promise<string | undefined> {
  if (process.platform !== "linux") return `the test bed needs Linux, this is ${process.platform}`;
  if (process.getuid?.() !== 0) return "the test bed needs root, for network namespaces and mounts";
  const { ID = "?", ID_LIKE = "" } = osRelease();
  if (![ID, ...ID_LIKE.split(" ")].includes("debian")) {
    return `the test bed installs Debian's packages, this is ${ID}`;
  }
  const attempt = "mount -t proc proc /proc && mount -t tmpfs tmpfs /run";
  const namespaces = "--pid --mount --uts --net --propagation slave --fork".split(" ");
  const { failed, stderr } = await run({ reject: false })("unshare", [...namespaces, "sh", "-c", attempt]);
  if (failed) return `no namespaces may be made here (${stderr.trim().split("\n")[0]})`;
  try {
    accessSync("/sys/fs/cgroup", constants.W_OK);
  } catch {
    return "containers cannot run here: /sys/fs/cgroup is read-only";
  }
  return undefined;
}
