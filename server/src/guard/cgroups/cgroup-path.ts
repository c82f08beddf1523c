import { Failure } from "docker-over-ssh/builds";
import type { CgroupDriver } from "./cgroup-driver.ts";

const SLICE = ".slice";

/**
 * Returns a cgroup in the driver's format: the name of a slice for systemd, a path for cgroupfs.
 *
 * @param parent `/a/b`, `a-b.slice`, or `/a.slice/a-b.slice`
 * @throws Failure `usage` for a path that systemd does not accept as a slice, and for an invalid path
 */
export function parentFor(driver: CgroupDriver["name"], parent: string): string {
  const parts = parent.split("/").filter((part) => part !== "");
  const last = parts.at(-1) ?? "";
  if (last === "" || parts.some((part) => part === "." || part === ".." || part.includes("\0"))) {
    throw new Failure("usage", `${JSON.stringify(parent)} is not a cgroup`, {
      expected: "the path of a cgroup, e.g. /tenants/a, or a slice, e.g. tenants.slice",
    });
  }
  if (driver === "systemd") {
    if (last.endsWith(SLICE)) return last;
    throw new Failure("usage", `systemd manages the engine's cgroups, and ${parent} is not a slice`, {
      expected: "a slice, e.g. tenants.slice",
    });
  }
  return parts.length === 1 && last.endsWith(SLICE) && !parent.startsWith("/")
    ? pathOfSlice(last)
    : `/${parts.join("/")}`;
}

/** Returns the path at which systemd creates a slice: each hyphen of its name is a level (`systemd.slice(5)`). */
function pathOfSlice(name: string): string {
  const parts = name.slice(0, -SLICE.length).split("-");
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join("-")}${SLICE}`).join("");
}
