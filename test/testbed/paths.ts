import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { machineEnvironment } from "./environment.ts";

/** The project's folder. */
export const projectFolder = fileURLToPath(new URL("../../", import.meta.url)).replace(/\/$/, "");

const { HOME = homedir(), XDG_CACHE_HOME } = machineEnvironment();

/** The folder of downloaded engine packages, which later runs reuse. */
export const cacheFolder = join(XDG_CACHE_HOME || join(HOME, ".cache"), "docker-over-ssh-testbed");

/**
 * The parent of the runs' folders, with keys, sockets, logs and the engines' data. Not /tmp, which is in memory on many machines: images are
 * large.
 */
export const runsFolder = process.env["TMPDIR"] || "/var/tmp";
