import { namedEndpoint } from "../engine/connect/endpoint.ts";
import { Failure } from "../output/errors.ts";
import type { PushRequest } from "../request.ts";
import type { BuildOptionValues } from "./options/build-options.ts";
import type { CommandJob } from "./options/command-definition.ts";

/** Options that make sense on the remote side. */
const SERVED = new Set(["host", "timeout", "bwlimit", "delta", "compress"]);

/** Creates the job of `build` without words: this process is the remote side, which carries out the initiator's order. Throws a `usage` Failure. */
export function servedBuildJob(options: BuildOptionValues, env: NodeJS.ProcessEnv): CommandJob {
  refuseOrder(options);
  const { timeout, bwlimit, delta, compress } = options;
  const request: PushRequest = {
    role: "sender",
    connection: { kind: "spawned" },
    source: {
      kind: "docker-daemon",
      given: "",
      image: { given: "" },
      endpoint: namedEndpoint(options.host, env),
      registry: { kind: "embedded" },
    },
    timeout,
    bwlimit,
    delta,
    compress,
  };
  return {
    batch: { remotes: [{ connection: request.connection, transfers: [request] }] },
    async run(context) {
      // A person at a terminal wants to build something.
      if (process.stdin.isTTY || process.stdout.isTTY) throw noContext();
      await (await import("../build-with-engine.ts")).serveBuild(request, context);
    },
  };
}

function refuseOrder(options: BuildOptionValues): void {
  const [name] = Object.entries(options).flatMap(([key, value]) =>
    isGiven(value) && !SERVED.has(key) && !OF_OUTPUT.has(key) ? [key] : [],
  );
  if (name !== undefined) throw noContext();
}

function noContext(): Failure {
  return new Failure("usage", "no CONTEXT is named", {
    expected: "a folder, - for an archive on stdin, or the address of a git repository, followed by a host",
    hint: "docker-over-ssh build -t app:v2 . ssh://HOST",
  });
}

/** Output options, and options with a default value. */
const OF_OUTPUT = new Set(["quiet", "verbose", "progress", "json", "mayPrompt", "cache", "gitignore"]);

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== false;
}
