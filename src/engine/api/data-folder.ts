import { existsSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import { isAbsolute, join } from "node:path";

/** The parts of `GET /info` that tell where an engine keeps its images. */
export interface DataFolderInfo {
  /** The engine's own, also in a file of its folder since version 24. */
  ID?: string;
  /** The hostname of the engine's machine. */
  Name?: string;
  /** Podman fills it in as well, with its graph root. */
  DockerRootDir?: string;
  Containerd?: { Address?: string } | null;
}

/** Files by which Docker and Podman mark a container. */
const CONTAINER_MARKS = ["/.dockerenv", "/run/.containerenv"];
/** The socket of a containerd that dockerd has started, with its data in dockerd's folder. */
const OWN_CONTAINERD = /\/docker\/containerd\//;

/**
 * Returns the folder in which an engine keeps its images, if it is one of this machine. Undefined where that is not sure: in a container, on a
 * machine with another name (Docker Desktop's engine runs in a virtual machine), and for the store of a containerd of its own, whose folder
 * the engine does not tell. Root can read the engine's ID in the folder, which settles it.
 */
export function dataFolder(info: DataFolderInfo, isContainerd: boolean): string | undefined {
  const { DockerRootDir: folder = "", Containerd } = info;
  if (!isAbsolute(folder)) return undefined;
  if (isContainerd && !OWN_CONTAINERD.test(Containerd?.Address ?? "")) return undefined;
  return hasId(folder, info.ID) || (info.Name === hostname() && !isInContainer()) ? folder : undefined;
}

function hasId(folder: string, id: string | undefined): boolean {
  try {
    return id !== undefined && readFileSync(join(folder, "engine-id"), "utf8").trim() === id;
  } catch {
    return false; // only root may read it
  }
}

function isInContainer(): boolean {
  return CONTAINER_MARKS.some((path) => existsSync(path));
}
