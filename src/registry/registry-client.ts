import { once } from "node:events";
import { Agent, request, type IncomingMessage } from "node:http";
import { Readable, type Duplex } from "node:stream";
import type { Credentials } from "../engine/engine-images.ts";
import { digestOf, type Digest } from "../image/digest.ts";
import {
  isIndex,
  MAX_MANIFEST,
  MEDIA_TYPE,
  parseManifest,
  type Descriptor,
  type Index,
  type ImageManifest,
} from "../image/manifest.ts";
import { Failure, messageOf } from "../output/errors.ts";
import { PACKED_ENCODING } from "../packing/pack.ts";
import { unpack } from "../packing/unpack.ts";
import { asSocket } from "../streams/bridge.ts";
import { basicAuth } from "./password.ts";
import { InvalidImage } from "../image/invalid-image.ts";

const MANIFEST_TYPES = [
  MEDIA_TYPE.ociManifest,
  MEDIA_TYPE.ociIndex,
  MEDIA_TYPE.dockerManifest,
  MEDIA_TYPE.dockerIndex,
].join(", ");
const PACKED = { "accept-encoding": PACKED_ENCODING };
/** Connections at a time: those that are fetched at once, a recipe, and two for manifest and config, which wait for the last layer. */
const MAX_CONNECTIONS = 8;
/** An index may name another; no tool nests deeper than one, and a circle must end. */
const MAX_DEPTH = 3;
/** Platforms that a person is told of. */
const MAX_LISTED = 10;

export interface RegistryClientOptions {
  /** Opens a connection to the registry; the client owns it. */
  connect: () => Duplex;
  credentials: Credentials | undefined;
  signal: AbortSignal;
}

export interface StreamOptions {
  /** Bytes at its beginning that the caller has. */
  from?: number | undefined;
  /** Nobody waits for it any more, not for its beginning either. */
  signal?: AbortSignal | undefined;
}

/** A blob's bytes from `first` on, which is no later than was asked for. */
export interface BlobStream {
  first: number;
  bytes: Readable;
}

/** A layer is not to be had in pieces after all: nothing of it has been cut, and it is there as it was announced. */
export class NoRecipe extends Error {
  override readonly name = "NotCut";
}

/** Status 404. */
class NotThere extends Error {}

/** Reads from a registry (OCI distribution spec 1.1, "Pull") over connections that somebody else makes. */
export class RegistryClient {
  readonly #agent: Agent;
  readonly #options: RegistryClientOptions;

  constructor(options: RegistryClientOptions) {
    this.#options = options;
    // A connection costs one stream of the tunnel, and Node keeps only real sockets alive.
    this.#agent = new Agent({ keepAlive: false, maxSockets: MAX_CONNECTIONS });
    this.#agent.createConnection = () => asSocket(options.connect());
  }

  /** The manifest for a platform (`os/arch[/variant]`), through an index where there is one. Checked against its digest. */
  async manifest(repository: string, reference: string, platform: string): Promise<ImageManifest> {
    let next = reference;
    for (let depth = 0; depth < MAX_DEPTH; depth++) {
      const bytes = await this.#bytes(`/v2/${repository}/manifests/${next}`, MAX_MANIFEST, MANIFEST_TYPES);
      if (next.includes(":") && digestOf(bytes) !== next) throw lying(`the manifest ${next}`);
      const found = understood(() => parseManifest(bytes));
      if (!isIndex(found)) return { ...found, bytes };
      next = entryFor(found, platform).digest;
    }
    throw lying("an index of indexes");
  }

  /** A small blob in memory, checked against its descriptor. */
  async blob(repository: string, { digest, size }: Descriptor, max: number): Promise<Buffer> {
    if (size > max) throw lying(`a blob of ${size} bytes where at most ${max} are expected`);
    const bytes = await this.small(repository, digest, max);
    if (bytes.length !== size) throw lying(`the blob ${digest}`);
    return bytes;
  }

  /** The same, of which nothing but the digest is known. */
  async small(repository: string, digest: Digest, max: number): Promise<Buffer> {
    const bytes = await this.#bytes(`/v2/${repository}/blobs/${digest}`, max);
    if (digestOf(bytes) !== digest) throw lying(`the blob ${digest}`);
    return bytes;
  }

  /**
   * A blob as it comes, unchecked. It may be packed for the way alone (Content-Encoding, RFC 9110, 8.4), and is unpacked here.
   * The caller reads it to its end, or destroys it.
   */
  async stream(repository: string, digest: Digest, { from = 0, signal }: StreamOptions = {}): Promise<BlobStream> {
    const path = `/v2/${repository}/blobs/${digest}`;
    const range = from > 0 ? { range: `bytes=${from}-` } : {};
    const response = await this.#get(path, { ...PACKED, ...range }, signal);
    const first = response.statusCode === 206 ? firstOf(response) : 0; // a server may pass a range over
    if (first > from) {
      response.destroy();
      throw lying(`another part of the blob ${digest} than was asked for`);
    }
    if (response.headers["content-encoding"] !== PACKED_ENCODING) return { first, bytes: response };
    return { first, bytes: Readable.from(unpack(response), { objectMode: false }) };
  }

  /** What a layer is made of, as the sender cuts it (delta/); otherwise as {@link stream}. Rejects with {@link NoRecipe} where it cannot. */
  async recipe(repository: string, digest: Digest, signal?: AbortSignal): Promise<Readable> {
    const response = await this.#get(`/v2/${repository}/_delta/recipe/${digest}`, PACKED, signal).catch(
      (error: unknown) => {
        throw error instanceof Failure && error.cause instanceof NotThere ? new NoRecipe("it has no recipe") : error;
      },
    );
    return Readable.from(unpack(response), { objectMode: false });
  }

  /** The pieces of it that `missing` names, one behind the other. */
  async pieces(repository: string, digest: Digest, missing: Buffer, signal?: AbortSignal): Promise<Readable> {
    const path = `/v2/${repository}/_delta/pieces/${digest}`;
    const response = await this.#get(path, PACKED, signal, { method: "POST", body: missing });
    return Readable.from(unpack(response), { objectMode: false });
  }

  /** So many bytes that mean nothing, to see how fast they come. */
  async probe(repository: string, bytes: number, signal?: AbortSignal): Promise<Readable> {
    return await this.#get(`/v2/${repository}/_delta/probe?bytes=${bytes}`, {}, signal);
  }

  /** Bytes of a blob that has been announced without them. */
  async sizeOf(repository: string, digest: Digest, signal?: AbortSignal): Promise<number> {
    const response = await this.#get(`/v2/${repository}/blobs/${digest}`, {}, signal, { method: "HEAD" });
    response.resume();
    const size = Number(response.headers["content-length"]);
    if (Number.isSafeInteger(size) && size >= 0) return size;
    throw lying(`the size of the blob ${digest}`);
  }

  async #bytes(path: string, max: number, accept = "*/*"): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let size = 0;
    const response = await this.#get(path, { accept });
    try {
      for await (const chunk of response) {
        size += (chunk as Buffer).length;
        if (size > max) throw lying(`an answer of more than ${max} bytes`);
        chunks.push(chunk as Buffer);
      }
    } catch (error) {
      this.#options.signal.throwIfAborted();
      throw error instanceof Failure ? error : notGiven(path, error);
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
      outgoing.on("error", () => {}); // from here on, the response has it
      if (response.statusCode === 200 || (response.statusCode === 206 && "range" in headers)) return response;
      response.destroy();
      throw new (response.statusCode === 404 ? NotThere : Error)(`status ${response.statusCode}`);
    } catch (error) {
      signal.throwIfAborted();
      throw notGiven(path, error);
    }
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

/** Where a part begins (Content-Range, RFC 9110, 14.4); Infinity when it does not say. */
function firstOf({ headers }: IncomingMessage): number {
  const [, first] = /^bytes ([0-9]{1,15})-/.exec(headers["content-range"] ?? "") ?? [];
  return first === undefined ? Infinity : Number(first);
}

function entryFor({ manifests }: Index, wanted: string): Descriptor {
  const [os, architecture, variant] = wanted.split("/");
  const fits = manifests.filter(({ platform }) => platform?.os === os && platform?.architecture === architecture);
  const exact = fits.find(({ platform }) => platform?.variant === variant);
  const found = exact ?? fits.find(({ platform }) => variant === undefined || platform?.variant === undefined);
  if (found !== undefined) return found;
  const known = manifests.flatMap(({ platform }) =>
    platform === undefined ? [] : [`${platform.os}/${platform.architecture}`.slice(0, 40)],
  );
  throw new Failure("image-not-found", `the image has no variant for ${wanted}`, {
    expected:
      known.length > 0 ? `one of ${known.slice(0, MAX_LISTED).join(", ")}` : "an index that says for which platforms",
    hint: "Choose one with --platform.",
  });
}

function notGiven(path: string, error: unknown): Failure {
  return new Failure("registry-unavailable", `the temporary registry did not give ${path}: ${messageOf(error)}`, {
    expected: "what the sending side has offered",
    hint: "Run the same command again.",
    cause: error,
  });
}

function understood<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof InvalidImage)) throw error;
    throw new Failure("not-verified", `the image cannot be understood: ${error.message}`, {
      expected: "the manifest of an image, or an index of such",
      hint: "Nothing was loaded. Run the same command again; if it happens again, please report it.",
      cause: error,
    });
  }
}

function lying(what: string): Failure {
  return new Failure("not-verified", `the sending side's registry does not hold what it says: ${what}`, {
    expected: "content that has the digest and the size of its descriptor",
    hint: "Nothing was loaded. Run the same command again; if it happens again, please report it.",
  });
}
