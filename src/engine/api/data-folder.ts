import { existsSync } from "node:fs";
import { hostname } from "node:os";

/** The parts of `GET /info` that tell where an engine keeps its images. */
export interface DataFolderInfo {
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
 * the engine does not tell.
 */
export function dataFolder(
  info: DataFolderInfo,
  isContainerd: boolean,
  isInContainer = inContainer,
): string | undefined {
  const { Name, DockerRootDir, Containerd } = info;
  if (Name !== hostname() || isInContainer()) return undefined;
  if (isContainerd && !OWN_CONTAINERD.test(Containerd?.Address ?? "")) return undefined;
  return DockerRootDir;
}

function inContainer(): boolean {
  return CONTAINER_MARKS.some((path) => existsSync(path));
}
