import { Readable } from "node:stream";
import { gzip } from "../../streams/gzip.ts";
import type { EngineProgress } from "../engine-images.ts";
import { isOneStream, type EngineAddress } from "../connect/endpoint.ts";
import type { DockerApi } from "./docker-api.ts";
import { followLoad } from "./follow-progress.ts";
import { LOAD_PLATFORM, platformQuery } from "./platform-query.ts";
import type { Platform } from "../../image/platform.ts";

/**
 * Loads an archive. `acceptsGzip` returns whether the engine accepts gzip. It is called only for a single connection, on which archives are
 * compressed.
 */
export async function loadImage(
  api: DockerApi,
  archive: Readable,
  platform: Platform | undefined,
  acceptsGzip: () => Promise<boolean>,
  onProgress?: (progress: EngineProgress) => void,
): Promise<void> {
  // The progress lines show that the engine makes progress: a graph driver sends about ten a second.
  const query = { quiet: false, platform: platformQuery(api, platform, LOAD_PLATFORM) };
  const { address } = api.endpoint;
  const isOnlyConnection = isOneStream(address);
  try {
    const sent = isOnlyConnection
      ? overOneStream(archive, await gzipLevelFor(address, acceptsGzip), api.signal)
      : archive;
    await followLoad(
      await api.stream("POST", "/images/load", { query, archive: sent, effect: "completes", timeout: "work" }),
      onProgress,
    );
  } catch (error) {
    if (isOnlyConnection) api.signal?.throwIfAborted();
    throw archive.errored ?? error; // the error of a failed archive is more precise than that of the connection, which it closes
  } finally {
    archive.destroy();
  }
}

/** Returns undefined for the default level, 0 for no compression. */
async function gzipLevelFor(address: EngineAddress, acceptsGzip: () => Promise<boolean>): Promise<number | undefined> {
  const requestedLevel = address.protocol === "stream" ? address.gzipLevel : undefined;
  return requestedLevel === 0 || (await acceptsGzip()) ? requestedLevel : 0;
}

/**
 * Prepares an archive for an engine with one connection. After an abort or an error of the archive, the body ends early, but as valid HTTP:
 * the engine rejects the archive and cleans up. Closing the connection instead would interrupt the load (moby #51623) and lose the only
 * connection.
 */
function overOneStream(archive: Readable, level: number | undefined, signal: AbortSignal | undefined): Readable {
  return Readable.from(untilError(level === 0 ? archive : gzip(archive, level), signal), { objectMode: false });
}

/**
 * The start of another gzip member (RFC 1952, 2.3.1), which is not a valid tar header: after it, an engine does not treat the archive as
 * complete.
 */
const BROKEN_OFF = Buffer.from([0x1f, 0x8b]);

async function* untilError(chunks: AsyncIterable<Buffer>, signal: AbortSignal | undefined): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of chunks) {
      signal?.throwIfAborted();
      yield chunk;
    }
  } catch {
    yield BROKEN_OFF; // loadImage throws the error
  }
}
