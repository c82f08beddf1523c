import { randomUUID } from "node:crypto";
import { digestOf, type Digest } from "../../image/digest.ts";
import { MAX_CONFIG } from "../../image/config.ts";
import { deadline } from "../../streams/deadline.ts";
import { isAtLeast } from "../compare-versions.ts";
import type { DockerApi } from "../api/docker-api.ts";
import { isOneStream } from "../connect/endpoint.ts";
import { listedSize } from "../api/images.ts";

/**
 * ms. The call takes about 15 ms. It takes long if the image is removed at that moment, because the builder then looks for it in a
 * registry.
 */
const TIMEOUT = 5_000;
/**
 * The oldest and newest Docker version whose source code was checked for the handling of these messages, because the builder trusts its
 * clients. Tested with 20.10, 26.1, 28.5 and 29.7.
 */
const [OLDEST, NEWEST] = ["20.10", "29.7"];

/**
 * Returns the config of a classic store's image, byte for byte. The engine's own API has no call for it: `docker save` copies the whole
 * image first. BuildKit, a part of every Docker, returns it to a build `FROM` the image. This function starts a build as buildx does
 * (moby/buildkit, `api/services/control` and `frontend/gateway/pb`), requests the config, and cancels the build. dockerd logs the cancelled
 * build in one line.
 *
 * A malformed request can crash dockerd with a nil dereference: always send an empty `cache` (Docker 27.4 to 28.1 need it), and never call
 * `Return`.
 *
 * @param image its name as engines list it, with a tag, and its ID
 * @param version the version of Docker
 * @returns undefined for an unknown Docker version, over a single connection, and if the name no longer exists or has another ID
 */
export async function readConfig(
  api: DockerApi,
  { name, id }: { name: string; id: Digest },
  version: string,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  if (isOneStream(api.endpoint.address)) return undefined; // cancelling would close the only connection
  if (!isKnown(version)) return undefined;
  using limit = deadline(TIMEOUT, signal);
  const finished = new AbortController();
  try {
    if ((await listedSize(api, name)) === undefined) return undefined;
    const connection = await api.grpc(limit.signal);
    if (connection === undefined) return undefined;
    const { createClient } = await import("@connectrpc/connect");
    const [{ Control }, { LLBBridge }] = await Promise.all([
      import("./gen/control_pb.ts"),
      import("./gen/gateway_pb.ts"),
    ]);
    const ref = randomUUID();
    const stop = AbortSignal.any([limit.signal, finished.signal]);
    createClient(Control, connection.transport)
      .solve({ ref, cache: {}, internal: true }, { signal: stop })
      .catch(() => {}); // the build runs until it is cancelled
    const { config } = await createClient(LLBBridge, connection.transport).resolveImageConfig(
      { ref: name, resolveMode: "local" },
      { signal: stop, headers: { "buildkit-controlapi-buildid": ref } },
    );
    const isRight = config.length <= MAX_CONFIG && digestOf(config) === id;
    return isRight ? Buffer.from(config) : undefined;
  } catch {
    signal.throwIfAborted();
    return undefined; // the caller gets the config by a dry push
  } finally {
    finished.abort(); // cancels the build
  }
}

function isKnown(version: string): boolean {
  const [minor] = /^\d+\.\d+/.exec(version) ?? [];
  return minor !== undefined && isAtLeast(minor, OLDEST) && isAtLeast(NEWEST, minor);
}
