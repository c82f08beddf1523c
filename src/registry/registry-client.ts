import { once } from "node:events";
import { Agent, request, type IncomingMessage } from "node:http";
import { Readable, type Duplex } from "node:stream";
import type { Credentials } from "../engine/credentials.ts";
import { digestOf, type Digest } from "../image/digest.ts";
import {
  isIndex,
  MAX_MANIFEST,
  MEDIA_TYPE,
  parseManifest,
  type Descriptor,
  type ImageManifest,
} from "../image/manifest.ts";
import { Failure } from "../output/errors.ts";
import { PACKED_ENCODING } from "../packing/pack.ts";
import type { PackedSize } from "../packing/packed-sizes.ts";
import { unpack } from "../packing/unpack.ts";
import { asSocket } from "../streams/bridge.ts";
import { countBytes } from "../streams/count-bytes.ts";
import { sizeIn } from "./size-answer.ts";
import { chooseManifest } from "./choose-manifest.ts";
import { basicAuth } from "./password.ts";
import { mismatch, NoRecipe, NotFound, parsed, requestFailure } from "./registry-client-errors.ts";
import type { Platform } from "../image/platform.ts";

const MANIFEST_TYPES = [
  MEDIA_TYPE.ociManifest,
  MEDIA_TYPE.ociIndex,
  MEDIA_TYPE.dockerManifest,
  MEDIA_TYPE.dockerIndex,
].join(", ");
const PACKED = { "accept-encoding": PACKED_ENCODING };
/** Connections at a time: the layers that are fetched concurrently, a recipe, and manifest and config, which wait for the last layer. */
const MAX_CONNECTIONS = 8;
/** An index may name another index. No tool nests more than one, and a cycle must end. */
const MAX_DEPTH = 3;

export interface RegistryClientOptions {
  /** Opens a connection to the registry; the client owns it. */
  connect: () => Duplex;
  credentials: Credentials | undefined;
  signal: AbortSignal;
}

export interface StreamOptions {
  /** The offset of the first byte to fetch. */
  from?: number | undefined;
  /** Ends the request, and the stream. */
  signal?: AbortSignal | undefined;
}

/** A blob's bytes from the offset `first`, which is not after the requested offset. */
export interface BlobStream {
  first: number;
  bytes: Readable;
}

/** Reads from a registry (OCI distribution spec 1.1, "Pull") over connections that the caller provides. */
export class RegistryClient {
  readonly #agent: Agent;
  readonly #options: RegistryClientOptions;

  constructor(options: RegistryClientOptions) {
    this.#options = options;
    // A connection costs only one stream of the tunnel, and Node can only keep real sockets alive.
    this.#agent = new Agent({ keepAlive: false, maxSockets: MAX_CONNECTIONS });
    this.#agent.createConnection = () => asSocket(options.connect());
  }

  /** Fetches the manifest for a platform (`os/arch[/variant]`), through an index if there is one, and verifies digests. */
  async manifest(repository: string, reference: string, platform: Platform): Promise<ImageManifest> {
    let next = reference;
    for (let depth = 0; depth < MAX_DEPTH; depth++) {
      const bytes = await this.#bytes(`/v2/${repository}/manifests/${next}`, MAX_MANIFEST, MANIFEST_TYPES);
      if (next.includes(":") && digestOf(bytes) !== next) throw mismatch(`the manifest ${next}`);
      const found = parsed(() => parseManifest(bytes));
      if (!isIndex(found)) return { ...found, bytes };
      next = chooseManifest(found, platform).digest;
    }
    throw mismatch("an index of indexes");
  }

  /** Fetches a small blob into memory, and verifies digest and size. */
  async blob(repository: string, { digest, size }: Descriptor, max: number): Promise<Buffer> {
    if (size > max) throw mismatch(`a blob of ${size} bytes where at most ${max} are expected`);
    const bytes = await this.blobByDigest(repository, digest, max);
    if (bytes.length !== size) throw mismatch(`the blob ${digest}`);
    return bytes;
  }

  /** Fetches a small blob of unknown size into memory, and verifies its digest. */
  async blobByDigest(repository: string, digest: Digest, max: number): Promise<Buffer> {
    const bytes = await this.#bytes(`/v2/${repository}/blobs/${digest}`, max);
    if (digestOf(bytes) !== digest) throw mismatch(`the blob ${digest}`);
    return bytes;
  }

  /**
   * Fetches a blob as a stream, without verification. Unpacks it if it is packed for the transfer (Content-Encoding, RFC 9110, 8.4). The
   * caller reads the stream to its end, or destroys it.
   */
  async stream(repository: string, digest: Digest, { from = 0, signal }: StreamOptions = {}): Promise<BlobStream> {
    const path = `/v2/${repository}/blobs/${digest}`;
    const range = from > 0 ? { range: `bytes=${from}-` } : {};
    const response = await this.#get(path, { ...PACKED, ...range }, signal);
    const first = response.statusCode === 206 ? offsetOf(response) : 0; // a server may ignore a range
    if (first > from) {
      response.destroy();
      throw mismatch(`another part of the blob ${digest} than the requested part`);
    }
    if (response.headers["content-encoding"] !== PACKED_ENCODING) return { first, bytes: response };
    return { first, bytes: Readable.from(unpack(response), { objectMode: false }) };
  }

  /**
   * Fetches a layer's recipe while the sender cuts the layer, otherwise like {@link stream}. Rejects with {@link NoRecipe} if the sender
   * cannot cut it. `onPacked` receives the size of each chunk when it arrives.
   */
  async recipe(
    repository: string,
    digest: Digest,
    signal?: AbortSignal,
    onPacked: (count: number) => void = () => {},
  ): Promise<Readable> {
    const response = await this.#get(`/v2/${repository}/_delta/recipe/${digest}`, PACKED, signal).catch(
      (error: unknown) => {
        throw error instanceof Failure && error.cause instanceof NotFound
          ? new NoRecipe("the layer has no recipe")
          : error;
      },
    );
    return Readable.from(unpack(countBytes(response as AsyncIterable<Buffer>, onPacked)), { objectMode: false });
  }

  /** Fetches the pieces of a layer in the list `missing`, one after the other. */
  async pieces(repository: string, digest: Digest, missing: Buffer, signal?: AbortSignal): Promise<Readable> {
    const path = `/v2/${repository}/_delta/pieces/${digest}`;
    const response = await this.#get(path, PACKED, signal, { method: "POST", body: missing });
    return Readable.from(unpack(response), { objectMode: false });
  }

  /** Fetches random bytes, to measure the link. */
  async probe(repository: string, bytes: number, signal?: AbortSignal): Promise<Readable> {
    return await this.#get(`/v2/${repository}/_delta/probe?bytes=${bytes}`, {}, signal);
  }

  /** Fetches the size of a blob that was announced without a size. */
  async sizeOf(repository: string, digest: Digest, signal?: AbortSignal): Promise<number> {
    const response = await this.#get(`/v2/${repository}/blobs/${digest}`, {}, signal, { method: "HEAD" });
    response.resume();
    const size = Number(response.headers["content-length"]);
    if (Number.isSafeInteger(size) && size >= 0) return size;
    throw mismatch(`the size of the blob ${digest}`);
  }

  /** Fetches the number of bytes that a blob would take on a link of this rate (bytes a second): as stored, or packed. */
  async packedSize(repository: string, digest: Digest, rate: number, signal?: AbortSignal): Promise<PackedSize> {
    const path = `/v2/${repository}/_size/packed/${digest}?rate=${Math.round(rate)}`;
    return await sizeIn(await this.#get(path, {}, signal));
  }

  /** Fetches the number of bytes that missing pieces would take on the link. */
  async piecesSize(repository: string, digest: Digest, missing: Buffer, signal?: AbortSignal): Promise<number> {
    const path = `/v2/${repository}/_size/pieces/${digest}`;
    return (await sizeIn(await this.#get(path, {}, signal, { method: "POST", body: missing }))).bytes;
  }

  async #bytes(path: string, max: number, accept = "*/*"): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let size = 0;
    const response = await this.#get(path, { accept });
    try {
      for await (const chunk of response) {
        size += (chunk as Buffer).length;
        if (size > max) throw mismatch(`an answer of more than ${max} bytes`);
        chunks.push(chunk as Buffer);
      }
    } catch (error) {
      this.#options.signal.throwIfAborted();
      throw error instanceof Failure ? error : requestFailure(path, error);
    }
    return Buffer.concat(chunks);
  }

  async #get(
    path: string,
    headers: Record<string, string>,
    stop?: AbortSignal,
    { method = "GET", body }: { method?: string; body?: Buffer } = {},
  ): Promise<IncomingMessage> {
    const { credentials } = this.#options;
    const signal = stop === undefined ? this.#options.signal : AbortSignal.any([this.#options.signal, stop]);
    const authorization = credentials === undefined ? {} : { authorization: basicAuth(credentials) };
    try {
      const outgoing = request({
        host: "registry",
        method,
        path,
        agent: this.#agent,
        headers: { accept: "*/*", "accept-encoding": "identity", ...headers, ...authorization },
        signal,
      });
      outgoing.end(body);
      const [response] = (await once(outgoing, "response")) as [IncomingMessage];
      outgoing.on("error", () => {}); // from now on, the response reports the error
      if (response.statusCode === 200 || (response.statusCode === 206 && "range" in headers)) return response;
      response.destroy();
      throw new (response.statusCode === 404 ? NotFound : Error)(`status ${response.statusCode}`);
    } catch (error) {
      signal.throwIfAborted();
      throw requestFailure(path, error);
    }
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

/** Returns the offset of a partial answer (Content-Range, RFC 9110, 14.4); Infinity if it contains none. */
function offsetOf({ headers }: IncomingMessage): number {
  const [, first] = /^bytes ([0-9]{1,15})-/.exec(headers["content-range"] ?? "") ?? [];
  return first === undefined ? Infinity : Number(first);
}
