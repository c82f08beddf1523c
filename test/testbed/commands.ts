import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { projectFolder } from "./paths.ts";

/**
 * Creates the folder that is first in PATH on either machine. Its `ssh` knows the hosts of the test bed, and its `docker-over-ssh` is the command
 * of this project.
 * @param ssh the real ssh
 * @param command the command line of the project's command
 */
export function writeCommands(
  folder: string,
  { ssh, sshConfig, command }: { ssh: string; sshConfig: string; command: string[] },
): void {
  mkdirSync(folder);
  writeScript(join(folder, "ssh"), [ssh, "-F", sshConfig]);
  writeScript(join(folder, "docker-over-ssh"), command);
  writeScript(join(folder, "node"), [process.execPath]);
}

/** The project's command, as the package installs it. */
export const builtCommand = [process.execPath, join(projectFolder, "bin/docker-over-ssh.js")];

/** The folder in which node is installed, with its libraries. */
export const nodeFolder = dirname(dirname(process.execPath));

function writeScript(file: string, command: string[]): void {
  const line = command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
  writeFileSync(file, `#!/bin/sh\nexec ${line} "$@"\n`, { mode: 0o755 });
}
