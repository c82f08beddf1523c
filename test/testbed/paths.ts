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
 * The parent folder of the folders of all runs, with keys, sockets, logs and the engines' data. It is not /tmp, because images are large and /tmp is
 * in memory on many machines.
 */
export const runsFolder = process.env["TMPDIR"] || "/var/tmp";
