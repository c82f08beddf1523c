import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { projectFolder } from "./paths.ts";

/**
 * Makes the folder to be put first in PATH, on either machine: there `ssh` knows the test bed's
 * hosts, and `docker-over-ssh` is this project's.
 * @param ssh the real one
 * @param command how the project's command is run
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

/** The project's command, as it is when it is installed. */
export const builtCommand = [process.execPath, join(projectFolder, "bin/docker-over-ssh.js")];

/** Where node is installed, with its libraries. */
export const nodeFolder = dirname(dirname(process.execPath));

function writeScript(file: string, command: string[]): void {
  const line = command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
  writeFileSync(file, `#!/bin/sh\nexec ${line} "$@"\n`, { mode: 0o755 });
}
