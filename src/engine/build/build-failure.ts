import { Failure } from "../../output/errors.ts";
import { oneLine } from "../../output/describe.ts";
import { splitName } from "../api/split-name.ts";
import type { FailedStep } from "./build-record.ts";

/** Matches the text that BuildKit prepends to the cause. */
const PREFIX =
  /^failed to solve(?: with frontend [\w.]+)?: (?:rpc error: code = \w+ desc = )?(?:failed to create LLB definition: )?/;
/** Matches internal details in BuildKit's messages, which do not help users */
const INNER = /failed to (?:compute cache key|calculate checksum of ref \S+): /g;
const EXIT = /(?:exit code|non-zero code|exit status):? (\d+)/;
/** Matches the name of a step that resolves or pulls a base */
const BASE = /^\[internal\] load metadata for (\S+)$|^\[[^\]]*\] FROM (?:--\S+ )*(\S+)/;
/** Matches the errors of BuildKit, the classic builder and buildah before the path of a missing Dockerfile */
const NO_DOCKERFILE = /failed to read dockerfile: open |cannot locate (?:specified )?Dockerfile|(?:open|stat|lstat) /i;
const REFUSED = /unauthorized|authentication required|access denied|authorization failed|\b401\b|\b403\b|denied/i;
const DOCKER_HUB = "Docker Hub";

/** Returns the Failure for a build that ended with an error. `words`: the engine's message. */
export function buildFailure(words: string, failed: FailedStep | undefined, dockerfile: string): Failure {
  const reason = oneLine(words.replace(PREFIX, "").replaceAll(INNER, ""));
  if (lacksDockerfile(reason, dockerfile)) {
    return new Failure("not-buildable", `the context has no Dockerfile at ${oneLine(dockerfile)}`, {
      expected: "a Dockerfile in the context",
      hint: "Name it with -f, and check that no ignore rule excludes it.",
    });
  }
  const [, looked, pulled] = BASE.exec(failed?.name ?? "") ?? [];
  const base = looked ?? pulled;
  if (base !== undefined) return baseFailure(base, reason);
  const where = failed === undefined ? "" : ` at ${failed.name}`;
  const [, status] = failed === undefined ? [] : (EXIT.exec(failed.error ?? reason) ?? EXIT.exec(reason) ?? []);
  const how = status === undefined ? reason : `exit code ${status}`;
  const lines = failed?.lines ?? [];
  return new Failure("build-failed", `the build failed${where}: ${how}`, {
    expected: failed === undefined ? "a build without an error" : "a step that succeeds",
    hint:
      lines.length === 0
        ? "Read the build's log."
        : `Fix that step. Its last lines:\n${lines.map((line) => `  ${line}`).join("\n")}`,
  });
}

function lacksDockerfile(reason: string, dockerfile: string): boolean {
  const path = oneLine(dockerfile);
  return NO_DOCKERFILE.test(reason) && (reason.includes(`${path}: no such file`) || reason.endsWith(`: ${path}`));
}

function baseFailure(base: string, reason: string): Failure {
  const registry = registryOf(base);
  const isRefused = REFUSED.test(reason);
  const login = registry === DOCKER_HUB ? "docker login" : `docker login ${registry}`;
  return new Failure("build-failed", `the base ${base} cannot be pulled from ${registry}: ${reason}`, {
    expected: isRefused
      ? `credentials that ${registry} accepts for it, and a base of that name`
      : "a base that the engine can pull",
    hint: isRefused
      ? `Run \`${login}\` on this side, or correct the name.`
      : "Check the name, and whether the engine's machine can reach the registry.",
  });
}

function registryOf(base: string): string {
  try {
    const { registry } = splitName(base);
    return registry.includes("index.docker.io") ? DOCKER_HUB : registry;
  } catch {
    return "its registry";
  }
}
