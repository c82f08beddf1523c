import { existsSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import { isAbsolute, join } from "node:path";

/** The parts of `GET /info` that show where an engine stores its images. */
export interface DataFolderInfo {
  /** The engine's ID, which is also in a file of its folder since version 24. */
  ID?: string;
  /** The hostname of the engine's machine. */
  Name?: string;
  /** For Podman, its graph root. */
  DockerRootDir?: string;
  Containerd?: { Address?: string } | null;
}

/** Files that Docker and Podman create in containers. */
const CONTAINER_MARKS = ["/.dockerenv", "/run/.containerenv"];
/** Matches the socket of a containerd that dockerd has started, and whose data is in dockerd's folder. */
const OWN_CONTAINERD = /\/docker\/containerd\//;

/**
 * Returns the folder in which an engine stores its images, if it is surely a folder of this machine. Returns undefined in a container, on a
 * machine with another name (Docker Desktop's engine runs in a virtual machine), and for the store of a separate containerd, whose folder
 * the engine does not report. Root can read the engine's ID in the folder, which proves that it is the right one.
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
