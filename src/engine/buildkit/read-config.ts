import { randomUUID } from "node:crypto";
import { digestOf, type Digest } from "../../image/digest.ts";
import { MAX_CONFIG } from "../../image/config.ts";
import { deadline } from "../../streams/deadline.ts";
import { isAtLeast } from "../api/compare-versions.ts";
import type { DockerApi } from "../api/docker-api.ts";
import { isOneStream } from "../connect/endpoint.ts";
import { listedSize } from "../api/images.ts";

/** ms. It takes some 15; it takes long when the image goes in just this moment, and the builder looks for it in a registry. */
const TIMEOUT = 5_000;
/**
 * Docker's versions whose source has been read for what it does with these messages: the builder trusts its clients. 20.10, 26.1, 28.5
 * and 29.7 were run.
 */
const [OLDEST, NEWEST] = ["20.10", "29.7"];

/**
 * The config of a classic store's image, byte for byte, which no call of the engine's own API gives: `docker save` copies the whole
 * image first. BuildKit gives it to whoever builds `FROM` the image, and is part of every Docker: a build is begun as buildx begins one
 * (moby/buildkit, `api/services/control` and `frontend/gateway/pb`), asked for the config, and given up, as by Ctrl-C, of which
 * dockerd's log tells in a line.
 *
 * What the builder is sent must be what its own clients send, for a nil pointer there ends dockerd. `Cache` is never left out (Docker
 * 27.4 to 28.1 need it), and the build is never returned from (`Return` without a result).
 *
 * @param image its name as engines list it, with a tag, and its ID
 * @param version of the Docker
 * @returns undefined where that is not to be had (no Docker of a known version, one connection only, no such name), or is not the image
 * of that ID
 */
export async function readConfig(
  api: DockerApi,
  { name, id }: { name: string; id: Digest },
  version: string,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  if (isOneStream(api.endpoint.address)) return undefined; // the connection would be lost to everything else
  if (!isKnown(version)) return undefined;
  using limit = deadline(TIMEOUT, signal);
  const given = new AbortController();
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
    const stop = AbortSignal.any([limit.signal, given.signal]);
    createClient(Control, connection.transport)
      .solve({ ref, cache: {}, internal: true }, { signal: stop })
      .catch(() => {}); // it does not end by itself
    const { config } = await createClient(LLBBridge, connection.transport).resolveImageConfig(
      { ref: name, resolveMode: "local" },
      { signal: stop, headers: { "buildkit-controlapi-buildid": ref } },
    );
    const isRight = config.length <= MAX_CONFIG && digestOf(config) === id;
    return isRight ? Buffer.from(config) : undefined;
  } catch {
    signal.throwIfAborted();
    return undefined; // an engine that does not tell is asked in another way
  } finally {
    given.abort(); // the build is given up
  }
}

function isKnown(version: string): boolean {
  const [minor] = /^\d+\.\d+/.exec(version) ?? [];
  return minor !== undefined && isAtLeast(minor, OLDEST) && isAtLeast(NEWEST, minor);
}
