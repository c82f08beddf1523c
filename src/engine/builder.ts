import { randomUUID } from "node:crypto";
import { digestOf, type Digest } from "../image/digest.ts";
import { MAX_CONFIG } from "../image/manifest.ts";
import type { DockerApi } from "./docker-api.ts";
import { isOneStream } from "./endpoint.ts";
import { GrpcConnection, readField, textField, trueField } from "./grpc.ts";

/** ms. It takes some 15; it takes long when the image has gone in the meantime, and the builder looks for it in a registry. */
const TIMEOUT = 5_000;

/**
 * The config of a classic store's image, byte for byte, which no call of the engine's own API gives: `docker save` copies the whole
 * image first. BuildKit gives it to whoever builds `FROM` the image, and is part of every Docker since 18.09: a build is begun
 * as buildx begins one (moby/buildkit, `api/services/control` and `frontend/gateway/pb`), asked for the config, and given up, as by
 * Ctrl-C. It is never *returned* from: a `Return` without a result is a nil pointer in dockerd, which ends it (tried on 20.10 to 28.5).
 *
 * @param name in full, with its tag
 * @returns undefined where that is not to be had (no Docker, one connection only), or is not the image of that ID
 */
export async function readConfig(
  api: DockerApi,
  name: string,
  id: Digest,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  if (isOneStream(api.endpoint.address)) return undefined; // the connection would be lost to everything else
  const limited = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT)]);
  try {
    const stream = await api.upgrade("/grpc", "h2c", limited);
    if (stream === undefined) return undefined;
    using builder = new GrpcConnection(stream);
    const end = (): void => builder[Symbol.dispose]();
    limited.addEventListener("abort", end, { once: true });
    const build = randomUUID();
    // SolveRequest: Ref, Internal, which keeps it out of the history of builds.
    builder.begin("/moby.buildkit.v1.Control/Solve", Buffer.concat([textField(1, build), trueField(11)]));
    const answer = await builder.call(
      "/moby.buildkit.v1.frontend.LLBBridge/ResolveImageConfig",
      Buffer.concat([textField(1, name), textField(3, "local")]), // Ref, ResolveMode
      { "buildkit-controlapi-buildid": build },
      MAX_CONFIG + 1024,
    );
    const config = readField(answer, 2);
    return config !== undefined && digestOf(config) === id ? config : undefined;
  } catch {
    signal.throwIfAborted();
    return undefined; // an engine that does not tell is asked in another way
  }
}
