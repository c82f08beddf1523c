import { Failure } from "../output/errors.ts";
import type { BuildRequest } from "../request.ts";
import { BUILD_OPTIONS, type BuildOptionValues } from "./options/build-options.ts";
import type { CommandDefinition, CommandJob } from "./options/command-definition.ts";
import { servedBuildJob } from "./served-build.ts";
import { isAddress, readCommand } from "./options/read-words.ts";
import { readDeploy } from "./deploy.ts";
import type { HostOptions } from "./options/host-options.ts";
import { readConnections } from "./options/read-connection.ts";

export const buildCommand: CommandDefinition<BuildOptionValues> = {
  name: "build",
  summary: "build an image with the engine of a host, and optionally bring it back",
  description:
    "Builds CONTEXT with the engine of a host, and gives the image its names there. The files are sent by delta: only the differences from the last context of the project are sent. CONTEXT is a folder, - for an archive on stdin, or the address of a git repository that the remote engine clones. Without CONTEXT and COMMAND, this process is the remote side. With --stdin NAME, the engine of this machine builds an archive on stdin: see build --stdin --help.",
  arguments: [
    { term: "[CONTEXT]", description: "a folder, - for an archive on stdin, or the address of a git repository" },
    {
      term: "[COMMAND...]",
      description:
        "a host: [ssh://][USER@]HOST[:PORT], docker://CONTAINER or kubectl://NAMESPACE/POD[/CONTAINER]; or program and arguments that start the remote side, passed on unchanged",
    },
  ],
  usage: "[options] CONTEXT [--] COMMAND...",
  options: BUILD_OPTIONS,
  async toJob(words, options, env) {
    const [given, ...rest] = words;
    if (given === undefined) return servedBuildJob(options, env);
    if (isAddress(given)) throw noContext(given);
    const command = readCommand(rest);
    if (command.length === 0) throw noCommand(given);
    refuseLateOption(command);
    if (options.rsh !== undefined && command.length > 1 && !command.every(isAddress)) throw noLogin();
    const [connection, ...others] = readConnections(command, hostOptions(options), env);
    if (others.length > 0) throw severalHosts(others.length + 1);
    // Imported here, because it loads node:crypto.
    const { readBuildRequest } = await import("./options/read-build.ts");
    const request = readBuildRequest(given, connection, options, env);
    return jobOf(request, options, env);
  },
};

function jobOf(request: BuildRequest, options: BuildOptionValues, env: NodeJS.ProcessEnv): CommandJob {
  const { connection, build } = request;
  const batch = { remotes: [{ connection, transfers: [request] }] } as const;
  if (build.goal.kind === "check") {
    const run: CommandJob["run"] = async (context) =>
      await (await import("./run-check.ts")).runCheck(request, options.json !== true, context);
    return { batch, run };
  }
  const deploy = readDeploy(build.order.names, connection, options, env);
  const { progress, iidfile, metadataFile } = options;
  return {
    batch,
    buildProgress: typeof progress === "string" ? progress : "auto",
    run: async (context) => {
      const { runBuild } = await import("./run-build.ts");
      await runBuild(request, { deploy, printsId: printsId(options), iidfile, metadataFile }, context);
    },
  };
}

/** Returns whether -q prints the image ID on stdout: not with events or an archive on stdout. */
export function printsId({ quiet = false, json = false, to = "" }: BuildOptionValues): boolean {
  return quiet && !json && !/^[a-z-]+:-(?::|$)/.test(to);
}

/** Returns the options for the host. --ssh is the option of docker build, and --rsh names the login program. */
function hostOptions(options: BuildOptionValues): HostOptions {
  return { ...options, ssh: options.rsh };
}

/** Throws a `usage` Failure for an option after CONTEXT: the words after CONTEXT are passed on, so it would be part of the remote command. */
function refuseLateOption([first = ""]: readonly string[]): void {
  if (!first.startsWith("-")) return;
  throw new Failure("usage", `${first} follows CONTEXT, where the remote command begins`, {
    expected: "options before CONTEXT",
    hint: "docker-over-ssh build -t app:v2 . ssh://HOST",
  });
}

function noContext(given: string): Failure {
  return new Failure("usage", `${given} is given in place of CONTEXT`, {
    expected: "a folder, - or the address of a git repository, followed by the host",
    hint: `docker-over-ssh build -t app:v2 . ${given}`,
  });
}

function noCommand(given: string): Failure {
  return new Failure("usage", `no host is given to build ${given}`, {
    expected: "a host or a command after CONTEXT",
    hint: `docker-over-ssh build -t app:v2 ${given} ssh://HOST; the engine of this machine builds with docker build.`,
  });
}

function noLogin(): Failure {
  return new Failure("usage", "--rsh is for ssh://HOST, but a command is passed on unchanged", {
    expected: "ssh://[USER@]HOST[:PORT] after CONTEXT",
    hint: "Put the login options into the command: ssh -i KEY HOST docker-over-ssh build",
  });
}

function severalHosts(count: number): Failure {
  return new Failure("usage", `${count} hosts are named`, {
    expected: "one host for the build",
    hint: "Name the others with --deploy, which sends the image on to them.",
  });
}
