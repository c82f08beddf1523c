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
import type { BuilderKind, BuildOptions, BuildOrder, BuiltImage } from "../engine-builder.ts";
import { buildFailure } from "./build-failure.ts";
import { buildParameters } from "./build-request.ts";
import { followBuild } from "./follow-build.ts";
import { mayRequestSecrets, readDockerfile } from "./read-dockerfile.ts";
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
  // A builder without a session gets credentials with the request. Over a single connection, a session is opened only if the build needs
  // one.
  const dockerfile = kind === "buildkit" && !isRemote ? undefined : await readDockerfile(order.dockerfile, context);
  const registries = dockerfile === undefined ? undefined : await registryConfig(order, dockerfile, options.answers);
  const isNeeded = order.secrets.length + order.agents.length > 0 || registries !== undefined;
  const isUseful = isNeeded || wantsSync || !isRemote || mayRequestSecrets(dockerfile ?? ""); // a session on a remote engine costs a login
  const sessionOptions = {
    order,
    answers: options.answers,
    context: wantsSync ? context : undefined,
    signal: options.signal,
  };
  using session = kind === "buildkit" && isUseful ? await sessionOn(api, sessionOptions, isNeeded) : undefined;
  const syncsFiles = wantsSync && session !== undefined;
  const archive = context === undefined || syncsFiles ? undefined : archiveOf(context, api, options.signal);
  try {
    const body = await api.stream("POST", "/build", {
      ...buildParameters(order, { kind, session: session?.id, syncsFiles }),
      ...(archive !== undefined && { archive }),
      registryConfig: kind === "buildkit" ? undefined : registries,
      signal: options.signal,
      timeout: "none", // a step may run without output for any time
    });
    const id = await followBuild(body, order.dockerfile, options.onEvent);
    return { id, ...(syncsFiles && { served: session.served }) };
  } catch (error) {
    options.signal.throwIfAborted();
    if (session?.broken !== undefined) {
      const words = `the session of the build has ended: ${messageOf(session.broken)}`;
      throw connectionFailure(new Error(words, { cause: session.broken }), api.endpoint);
    }
    throw errorToReport(error, order, session?.error ?? archive?.errored ?? undefined);
  } finally {
    archive?.destroy();
  }
}

/** Chooses the error to report: a file that this side could not read is a better reason than the error that it caused in the engine. */
function errorToReport(error: unknown, order: BuildOrder, cause: Error | undefined): unknown {
  if (cause instanceof Failure) return cause;
  // An EngineError with a status came before the first line of the answer.
  if (error instanceof EngineError && error.status !== undefined)
    return buildFailure(error.message, undefined, order.dockerfile);
  return error;
}

function refuseImpossible(kind: BuilderKind, { secrets, agents, memory, cpus }: BuildOrder): void {
  if (kind === "buildkit" && (memory !== undefined || cpus !== undefined)) throw noLimits();
  if (kind === "buildkit" || secrets.length + agents.length === 0) return;
  const name = kind === "classic" ? "the classic builder" : "Podman's builder, buildah,";
  const option = secrets.length > 0 ? "--secret" : "--ssh";
  throw new Failure("usage", `${name} does not accept ${option} over the API of the engine`, {
    expected: "an engine that builds with BuildKit (Docker 20.10 or later)",
    hint: `Build on a host with such an engine, or omit ${option}.`,
  });
}

/** `POST /build` with `version=2` accepts the parameters and ignores them (20.10 to 28.5), so limits are refused. */
function noLimits(): Failure {
  return new Failure("usage", "BuildKit does not accept limits of memory and cpus over the API of the engine", {
    expected: "an engine that uses the classic builder (Docker) or buildah (Podman) for such a build",
    hint: "Let the engine choose the builder, or omit these limits.",
  });
}

/** Opens a session. Returns undefined if the engine supports none and the build needs none. */
async function sessionOn(
  api: Api,
  sessionOptions: SessionOptions,
  isNeeded: boolean,
): Promise<BuildSession | undefined> {
  const connection = await api.grpc(sessionOptions.signal);
  if (connection === undefined) {
    if (!isNeeded) return undefined;
    throw new Failure(
      "usage",
      "the engine does not support BuildKit's sessions, which secrets, ssh agents and credentials need",
      {
        expected: "an engine whose API offers gRPC, without a proxy that blocks it",
        hint: "Use the engine's own socket.",
      },
    );
  }
  const { openSession } = await import("./session/open-session.ts"); // loads the gRPC library
  return openSession(connection, sessionOptions);
}

function archiveOf(context: BuildContext, { endpoint: { address } }: Api, signal: AbortSignal): Readable {
  const tar = writeContextTar(context, signal);
  const level = address.protocol === "stream" ? address.gzipLevel : undefined;
  return isOneStream(address) && level !== 0 ? Readable.from(gzip(tar, level), { objectMode: false }) : tar;
}

/** BuildKit's protocol for folders supports no other names. */
function isAllUtf8({ entries }: BuildContext): boolean {
  return entries.every((entry) => isUtf8Path(entry.path) && (!("target" in entry) || isUtf8Path(entry.target)));
}
