import { Failure } from "docker-over-ssh/builds";
import type { CgroupDriver } from "./cgroup-driver.ts";

const SLICE = ".slice";

/**
 * Writes a cgroup as the driver names it: a slice by its name alone for systemd, as a path for cgroupfs.
 *
 * @param parent `/a/b`, `a-b.slice`, or `/a.slice/a-b.slice`
 * @throws Failure `usage` for a path where systemd wants a slice, and for one that is not plain
 */
export function parentFor(driver: CgroupDriver["name"], parent: string): string {
  const parts = parent.split("/").filter((part) => part !== "");
  const last = parts.at(-1) ?? "";
  if (last === "" || parts.some((part) => part === "." || part === ".." || part.includes("\0"))) {
    throw new Failure("usage", `${JSON.stringify(parent)} is no cgroup`, {
      expected: "the path of a cgroup, e.g. /tenants/a, or a slice, e.g. tenants.slice",
    });
  }
  if (driver === "systemd") {
    if (last.endsWith(SLICE)) return last;
    throw new Failure("usage", `the engine's cgroups are made by systemd, for which ${parent} is no parent`, {
      expected: "a slice, e.g. tenants.slice",
    });
  }
  return parts.length === 1 && last.endsWith(SLICE) && !parent.startsWith("/")
    ? pathOfSlice(last)
    : `/${parts.join("/")}`;
}

/** Returns where systemd puts a slice: each hyphen of its name is a level (`systemd.slice(5)`). */
export function pathOfSlice(name: string): string {
  const parts = name.slice(0, -SLICE.length).split("-");
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join("-")}${SLICE}`).join("");
}
