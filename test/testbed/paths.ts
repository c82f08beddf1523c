import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { machineEnvironment } from "./environment.ts";

/** The project's own folder. */
export const projectFolder = fileURLToPath(new URL("../../", import.meta.url)).replace(/\/$/, "");

const { HOME = homedir(), XDG_CACHE_HOME } = machineEnvironment();

/** What later runs use again: downloaded engine packages. */
export const cacheFolder = join(XDG_CACHE_HOME || join(HOME, ".cache"), "docker-over-ssh-testbed");

/**
 * Where each run has a folder of its own: keys, sockets, logs and the engines' data.
 * Not /tmp: that is memory on many machines, and images are large.
 */
export const runsFolder = process.env["TMPDIR"] || "/var/tmp";
