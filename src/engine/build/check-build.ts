import { randomUUID } from "node:crypto";
import { createClient } from "@connectrpc/connect";
import type { BuildContext } from "../../build-context/build-context.ts";
import { formatPlatform } from "../../image/platform.ts";
import { oneLine } from "../../output/describe.ts";
import { Failure, messageOf } from "../../output/errors.ts";
import type { DockerApi } from "../api/docker-api.ts";
import { Control } from "../buildkit/gen/control_pb.ts";
import { LLBBridge } from "../buildkit/gen/gateway_pb.ts";
import type { BuilderKind, BuildOrder, CheckedBuild, CheckOptions } from "../engine-builder.ts";
import { EngineError } from "../engine-error.ts";
import type { GrpcConnection } from "../grpc/grpc-connection.ts";
import { buildFailure } from "./build-failure.ts";
import { openSession } from "./session/open-session.ts";

/** Characters of findings. They cross the tunnel in a message of at most 1 MB. */
const MAX_TEXT = 64 * 1024;
/** Matches the answer of a frontend without the check: BuildKit 0.8 (Docker 20.10) to 0.13 (Docker 26.1). */
const UNSUPPORTED = /unsupported (?:request|frontend capability)/;

/** The builder of an engine. `version`: the version of the engine */
interface Checker {
  kind: BuilderKind;
  version: string;
}

/**
 * Lets BuildKit's Dockerfile frontend check a Dockerfile (moby/buildkit, `frontend/subrequests/lint`), which needs Docker 27. The context
 * is available in a session. The frontend reads only the Dockerfile and its ignore file from it.
 */
export async function checkBuild(
  api: Pick<DockerApi, "grpc">,
  checker: Checker,
  order: BuildOrder,
  context: BuildContext | undefined,
  { answers, signal }: CheckOptions,
): Promise<CheckedBuild> {
  if (checker.kind !== "buildkit") throw cannotCheck(checker);
  const connection = await api.grpc(signal);
  if (connection === undefined) throw noGrpc(checker);
  using session = openSession(connection, { order, answers, context, signal });
  try {
    return readFindings(await askFrontend(connection, session.id, order, signal));
  } catch (error) {
    signal.throwIfAborted();
    throw session.error instanceof Failure ? session.error : checkFailure(error, checker, order.dockerfile);
  }
}

/**
 * Starts a build as buildx does, sends the frontend a request in it, and cancels the build: `POST /build` has no parameter for such
 * requests. As in read-config.ts, always sends an empty `cache`, and never calls `Return`.
 */
async function askFrontend(
  { transport }: GrpcConnection,
  session: string,
  order: BuildOrder,
  signal: AbortSignal,
): Promise<Record<string, Uint8Array>> {
  const finished = new AbortController();
  const stop = AbortSignal.any([signal, finished.signal]);
  const ref = randomUUID();
  try {
    // The build runs until it is cancelled. If it ends earlier, nobody answers the request.
    const build = createClient(Control, transport)
      .solve({ ref, session, cache: {}, internal: true }, { signal: stop })
      .then(() => Promise.reject(new EngineError("the builder has ended before it answered")));
    const answer = createClient(LLBBridge, transport).solve(
      {
        frontend: "dockerfile.v0",
        frontendOpt: lintOptions(order),
        allowResultReturn: true,
        allowResultArrayRef: true,
      },
      { signal: stop, headers: { "buildkit-controlapi-buildid": ref } },
    );
    const { result } = await Promise.race([answer, build]);
    return result?.metadata ?? {};
  } finally {
    finished.abort();
  }
}

/** Converts an order into options of the frontend (moby/buildkit, `frontend/dockerui/config.go`). */
function lintOptions({ dockerfile, git, target, platform, buildArgs, pull }: BuildOrder): Record<string, string> {
  return {
    requestid: "frontend.lint",
    // A frontend that does not support requests fails instead of building. `+forward` passes the request to the frontend that `# syntax=`
    // names.
    "frontend.caps": "moby.buildkit.frontend.subrequests+forward",
    filename: dockerfile,
    ...(git !== undefined && { context: git }),
    ...(target !== undefined && { target }),
    ...(platform && { platform: formatPlatform(platform) }),
    ...(pull && { "image-resolve-mode": "pull" }),
    ...Object.fromEntries(Object.entries(buildArgs).map(([name, value]) => [`build-arg:${name}`, value])),
  };
}

function readFindings({ "result.json": json, "result.txt": text }: Record<string, Uint8Array>): CheckedBuild {
  if (json === undefined) throw new EngineError("the builder's answer has no findings");
  const { warnings, buildError } = JSON.parse(Buffer.from(json).toString("utf8")) as {
    warnings?: readonly unknown[] | null;
    buildError?: { message: string } | null;
  };
  return {
    text: Buffer.from(text ?? [])
      .toString("utf8")
      .trim()
      .slice(0, MAX_TEXT),
    count: warnings?.length ?? 0,
    ...(buildError && { error: oneLine(buildError.message).slice(0, MAX_TEXT) }),
  };
}

function checkFailure(error: unknown, checker: Checker, dockerfile: string): Failure {
  const reason = messageOf(error).replace(/^\[\w+\] /, ""); // the name of the gRPC status, added by connect
  if (UNSUPPORTED.test(reason)) return cannotCheck(checker);
  const failure = buildFailure(reason, undefined, dockerfile);
  if (failure.code === "not-buildable") return failure;
  return new Failure("build-failed", `the Dockerfile cannot be checked: ${oneLine(reason)}`, {
    expected: "findings of the builder",
    hint: "Omit --check: the log of the build has more details.",
    cause: error,
  });
}

function cannotCheck({ kind, version }: Checker): Failure {
  const isDocker = kind === "buildkit";
  const engine = kind === "buildah" ? `Podman ${version}` : `Docker ${version}`;
  return new Failure("usage", `the builder of the engine, ${engine}, does not check Dockerfiles`, {
    expected: "Docker 27 or later, which builds with BuildKit",
    hint: isDocker
      ? "If the Dockerfile has a line `# syntax=`, that frontend must support checks: docker/dockerfile:1.8 or later."
      : "Build on a host with such an engine, or omit --check.",
  });
}

function noGrpc({ version }: Checker): Failure {
  return new Failure("usage", `the engine, Docker ${version}, does not pass gRPC to its builder, which a check needs`, {
    expected: "Docker 27 or later whose API offers gRPC, without a proxy that blocks it",
    hint: "Use the engine's own socket, or omit --check.",
  });
}
