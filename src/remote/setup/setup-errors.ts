import { describeExit, withOutput, type Exit } from "../../child-process/exit.ts";
import { Failure, type FailureCode } from "../../output/errors.ts";
import type { HostConnection } from "../../request.ts";
import type { RemoteCommand } from "../login/remote-command.ts";
import type { InstallProblem } from "./setup-lines.ts";

/** Returns the Failure for a host without a suitable Node. The launcher would be useless without one, so nothing is installed. */
export function noNode({ given }: HostConnection, skipped: readonly string[]): Failure {
  return new Failure(
    "remote-command-not-found",
    `no Node on ${given} can run docker-over-ssh: ${skipped.join("; ")}; nothing was installed`,
    {
      expected: "Node 20.19 or later, in PATH or in the folder of a version manager",
      hint: `Install Node there, or name its folder with --far-path. A transfer needs no setup: docker-over-ssh push IMAGE ${given}`,
    },
  );
}

/** The code, message, expectation and hint for each problem. `about`: the file or folder, or the system's message. */
const PROBLEMS: Record<InstallProblem, (about: string) => [FailureCode, string, string, string]> = {
  "no-home": (path) => [
    "refused",
    path === "" ? "this user has no home folder" : `this user's home folder does not exist: ${path}`,
    "a home folder, for ~/.local/bin",
    "Use another user, or create the folder there.",
  ],
  link: (path) => ["refused", `${path} is a link`, ...REAL],
  "no-folder": (path) => ["refused", `${path} is not a folder`, ...REAL],
  "not-own": (path) => ["refused", `${path} belongs to another user`, ...REAL],
  "open-to-others": (path) => ["refused", `other users may write to ${path}`, ...REAL],
  unsafe: (message) => ["refused", message, ...REAL],
  foreign: (path) => [
    "refused",
    `${path} exists, and setup did not write it`,
    "no file, or the launcher of an earlier setup",
    "Remove it if it is not needed. If it is docker-over-ssh, ssh://HOST already uses it.",
  ],
  "no-permission": (path) => [
    "refused",
    `${path} cannot be written to`,
    "a home folder that this user can write to",
    "Use another user. A transfer needs no setup.",
  ],
  "no-space": (path) => [
    "no-space",
    `no space is left for ${path}`,
    "5 MB in the home folder",
    "Free some space there, and run the same command again.",
  ],
  damaged: () => [
    "not-verified",
    "the docker-over-ssh that arrived is damaged",
    "docker-over-ssh with the announced digest",
    "Run the same command again; report a failure that repeats.",
  ],
  "not-runnable": (message) => [
    "remote-command-not-found",
    `it cannot be run there: ${message}`,
    "a home folder in which programs run (not mounted with noexec)",
    "A transfer needs no setup: ssh://HOST works without it.",
  ],
  error: (message) => [
    "transfer-failed",
    message,
    "a home folder in which files can be written",
    "Fix the reported problem, and run the same command again.",
  ],
};

/** The remote side that the scripts of setup, --uninstall and prune need. */
export const LOGIN = "a login, and a shell that runs a command";

const REAL: [string, string] = [
  "folders of this user, which no other user can change",
  "Fix that on the host, and run the same command again.",
];

/** Returns the Failure for a host that reports that nothing could be installed. */
export function notInstalled({ given }: HostConnection, problem: InstallProblem, about: string): Failure {
  const [code, message, expected, hint] = PROBLEMS[problem](about);
  return new Failure(code, `docker-over-ssh was not installed on ${given}: ${message}`, { expected, hint });
}

/** Returns the Failure for files, containers, volumes or images that could not be removed. The user has seen the error of each. */
export function notRemoved({ given }: HostConnection, names: readonly string[]): Failure {
  return new Failure("transfer-failed", `not everything on ${given} could be removed: ${names.join(", ")}`, {
    expected: "files and an engine that this user may change",
    hint: "Fix the problems in the lines above, or use --sudo, and run the same command again.",
  });
}

/** Returns the Failure for an engine that does not answer. Everything else was removed. */
export function engineNotCleaned({ given }: HostConnection, program: string): Failure {
  return new Failure(
    "engine-unreachable",
    `the engine of ${program} on ${given} does not answer: its containers, volumes and images were not removed`,
    {
      expected: "a running engine that this user may use",
      hint: "Start it, or use --sudo, and run the same command again.",
    },
  );
}

/** Returns the Failure for a connection that ends before the script of setup, --uninstall or prune is complete. */
export function setupEnded({ words, byHand }: RemoteCommand, exit: Exit | undefined, noise: string): Failure {
  return new Failure(
    "engine-unreachable",
    `\`${words}\` ${describeExit(exit)} before the script was complete${withOutput(noise)}`,
    {
      expected: LOGIN,
      hint: `Try \`${byHand}\`: it must log in.`,
    },
  );
}

export function unknownLine({ words }: RemoteCommand, line: string): Failure {
  return new Failure(
    "remote-not-a-tunnel",
    `\`${words}\` wrote a line that the setup script does not write at this point: ${line}`,
    {
      expected: "the lines of the script that this docker-over-ssh sends there",
      hint: "Run the same command again with --verbose, and report its output.",
    },
  );
}
