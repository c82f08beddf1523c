import { Readable } from "node:stream";
import { writeContextTar } from "../../build-context/tar/write-context-tar.ts";
import type { BuildContext } from "../../build-context/build-context.ts";
import { isUtf8Path } from "../../build-context/paths.ts";
import { Failure, messageOf } from "../../output/errors.ts";
import { gzip } from "../../streams/gzip.ts";
import { connectionFailure } from "../api/errors.ts";
import type { DockerApi } from "../api/docker-api.ts";
import { isOneStream } from "../connect/endpoint.ts";
import { EngineError } from "../engine-error.ts";
import type { BuilderKind, BuildOptions, BuildOrder, BuiltImage } from "../engine-builds.ts";
import { buildFailure } from "./build-failure.ts";
import { buildParameters } from "./build-request.ts";
import { followBuild } from "./follow-build.ts";
import { mayAsk, readDockerfile } from "./read-dockerfile.ts";
import { registryConfig } from "./registry-config.ts";
import type { BuildSession, SessionOptions } from "./session/open-session.ts";

type Api = Pick<DockerApi, "stream" | "grpc" | "endpoint" | "signal">;

/** Builds an image (`POST /build`). */
export async function buildImage(
  api: Api,
  kind: BuilderKind,
  order: BuildOrder,
  context: BuildContext | undefined,
  options: BuildOptions,
): Promise<BuiltImage> {
  refuseImpossible(kind, order);
  const isRemote = isOneStream(api.endpoint.address);
  const wantsSync =
    kind === "buildkit" &&
    context !== undefined &&
    (options.syncsFiles ?? (!isRemote && order.isArchive !== true)) &&
    isAllUtf8(context);
  // A builder without a session gets credentials with the request, and one behind a single connection a session only for these.
  const dockerfile = kind === "buildkit" && !isRemote ? undefined : await readDockerfile(order.dockerfile, context);
  const registries = dockerfile === undefined ? undefined : await registryConfig(order, dockerfile, options.answers);
  const isNeeded = order.secrets.length + order.agents.length > 0 || registries !== undefined;
  const isUseful = isNeeded || wantsSync || !isRemote || mayAsk(dockerfile ?? ""); // a remote one costs a login
  const asked = { order, answers: options.answers, context: wantsSync ? context : undefined, signal: options.signal };
  using session = kind === "buildkit" && isUseful ? await sessionOn(api, asked, isNeeded) : undefined;
  const syncsFiles = wantsSync && session !== undefined;
  const archive = context === undefined || syncsFiles ? undefined : archiveOf(context, api, options.signal);
  try {
    const body = await api.stream("POST", "/build", {
      ...buildParameters(order, { kind, session: session?.id, syncsFiles }),
      ...(archive !== undefined && { archive }),
      registryConfig: kind === "buildkit" ? undefined : registries,
      signal: options.signal,
      timeout: "none", // a step may be silent for as long as it likes
    });
    const id = await followBuild(body, order.dockerfile, options.onEvent);
    return { id, ...(syncsFiles && { served: session.served }) };
  } catch (error) {
    options.signal.throwIfAborted();
    if (session?.broken !== undefined) {
      const words = `the session of the build has ended: ${messageOf(session.broken)}`;
      throw connectionFailure(new Error(words, { cause: session.broken }), api.endpoint);
    }
    throw explain(error, order, session?.error ?? archive?.errored ?? undefined);
  } finally {
    archive?.destroy();
  }
}

/** Which part of a build failed: what could not be read here says more than what the engine made of it. */
function explain(error: unknown, order: BuildOrder, cause: Error | undefined): unknown {
  if (cause instanceof Failure) return cause;
  // An error before the first line of the answer has a status.
  if (error instanceof EngineError && error.status !== undefined)
    return buildFailure(error.message, undefined, order.dockerfile);
  return error;
}

function refuseImpossible(kind: BuilderKind, { secrets, agents, memory, cpus }: BuildOrder): void {
  if (kind === "buildkit" && (memory !== undefined || cpus !== undefined)) throw noLimits();
  if (kind === "buildkit" || secrets.length + agents.length === 0) return;
  const name = kind === "classic" ? "the classic builder" : "Podman's builder, buildah,";
  const option = secrets.length > 0 ? "--secret" : "--ssh";
  throw new Failure("usage", `${name} of the engine there does not take ${option} over its API`, {
    expected: "an engine that builds with BuildKit (Docker 20.10 or later)",
    hint: `Choose such an engine with -H, or build without ${option}.`,
  });
}

/** `POST /build` with `version=2` accepts the parameters and ignores them (20.10 to 28.5): a limit that does not hold is refused. */
function noLimits(): Failure {
  return new Failure("usage", "BuildKit does not take limits of memory and cpus over the API of the engine", {
    expected: "an engine that builds such an order with the classic builder (Docker), or with buildah (Podman)",
    hint: "Leave the builder to the engine, or build without these limits.",
  });
}

/** Opens a session. Undefined: the engine passes none, and none is needed. */
async function sessionOn(api: Api, asked: SessionOptions, isNeeded: boolean): Promise<BuildSession | undefined> {
  const connection = await api.grpc(asked.signal);
  if (connection === undefined) {
    if (!isNeeded) return undefined;
    throw new Failure(
      "usage",
      "the engine there does not pass BuildKit's sessions, which secrets, ssh agents and credentials need",
      {
        expected: "an engine whose API offers gRPC, without a proxy in front of it that hides it",
        hint: "Use the engine's own socket.",
      },
    );
  }
  const { openSession } = await import("./session/open-session.ts"); // loads the gRPC library
  return openSession(connection, asked);
}

function archiveOf(context: BuildContext, { endpoint: { address } }: Api, signal: AbortSignal): Readable {
  const tar = writeContextTar(context, signal);
  const level = address.protocol === "stream" ? address.gzipLevel : undefined;
  return isOneStream(address) && level !== 0 ? Readable.from(gzip(tar, level), { objectMode: false }) : tar;
}

/** BuildKit's protocol for folders carries no other names. */
function isAllUtf8({ entries }: BuildContext): boolean {
  return entries.every((entry) => isUtf8Path(entry.path) && (!("target" in entry) || isUtf8Path(entry.target)));
}
