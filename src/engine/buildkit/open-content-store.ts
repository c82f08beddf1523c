import { Code, ConnectError, createClient, type Client } from "@connectrpc/connect";
import { digestOf, isDigest, type Digest } from "../../image/digest.ts";
import { InvalidImage } from "../../image/invalid-image.ts";
import { deadline } from "../../streams/deadline.ts";
import { stallTimer } from "../../streams/stall-timer.ts";
import type { DockerApi } from "../api/docker-api.ts";
import { isOneStream } from "../connect/endpoint.ts";
import { BlobGone, type ContentBlob, type BlobQuery, type ContentStore, type ReadOptions } from "../content-store.ts";
import { EngineError } from "../engine-error.ts";
import { engineSilent } from "../api/errors.ts";
import type { Info } from "./gen/content_pb.ts";
import { Content } from "./gen/content_pb.ts";

/** ms for a list. An engine with 10,000 blobs takes a tenth of a second. */
const ANSWER_TIMEOUT = 10_000;
/** ms for the first answer, which shows whether the engine has this service. */
const FIRST_TIMEOUT = 1_000;
/** Blobs in a list, to bound memory. A query is about one image, which has about ten blobs. */
const MAX_FOUND = 10_000;
/** Connections that break in a row, without a byte in between, before reading a blob fails. */
const ATTEMPTS = 3;

/** Labels that containerd sets on blobs (`docs/garbage-collection.md`, and `core/unpack`). */
const UNCOMPRESSED = "containerd.io/uncompressed";
const NAMED = "containerd.io/gc.ref.content";

/** The part of the API that the content store needs. */
type GrpcApi = Pick<DockerApi, "endpoint" | "signal" | "timeouts" | "moved" | "grpc">;

/** Opens the content store. Returns undefined if the engine, or a proxy in front of it, does not answer an empty query in time. */
export async function openContentStore(api: GrpcApi, signal?: AbortSignal): Promise<ContentStore | undefined> {
  if ((await api.grpc(signal)) === undefined) return undefined; // may include a login, so the time limit below starts afterwards
  const store = new Store(api);
  const isRemote = isOneStream(api.endpoint.address); // perhaps over a slow link
  using limit = deadline(isRemote ? ANSWER_TIMEOUT : FIRST_TIMEOUT, signal);
  try {
    await store.find({ digests: [digestOf("")] }, limit.signal);
    return store;
  } catch (error) {
    signal?.throwIfAborted();
    api.signal?.throwIfAborted();
    if (error instanceof EngineError || limit.isOver) return undefined;
    throw error;
  }
}

class Store implements ContentStore {
  readonly #api: GrpcApi;

  constructor(api: GrpcApi) {
    this.#api = api;
  }

  async find(query: BlobQuery, signal?: AbortSignal): Promise<ContentBlob[]> {
    const filters = filtersOf(query);
    if (filters.length === 0) return [];
    const found = new Map<Digest, ContentBlob>();
    let count = 0;
    using limit = deadline(ANSWER_TIMEOUT, signal);
    try {
      const what = "the list of its blobs";
      for await (const { info } of this.#answers(
        what,
        (client, stop) => client.list({ filters }, stop),
        limit.signal,
      )) {
        for (const blob of info.map(blobOf)) {
          count += 1 + blob.names.length;
          if (isDigest(blob.digest)) found.set(blob.digest, blob);
        }
        if (count > MAX_FOUND) throw new EngineError(`the engine lists more than ${MAX_FOUND} blobs of an image`);
      }
    } catch (error) {
      if (!limit.isOver) throw error;
      throw new EngineError(`the engine did not list its blobs within ${ANSWER_TIMEOUT / 1000} s`);
    }
    return [...found.values()];
  }

  async *read(digest: Digest, { size, from = 0, length = size - from, signal }: ReadOptions): AsyncGenerator<Buffer> {
    const end = from + length;
    let at = from;
    if (at >= end) return;
    for await (const chunk of this.#readResuming(digest, at, end, signal)) {
      at += chunk.length;
      if (at > end) throw new InvalidImage(`the blob ${digest} is larger than the ${size} bytes it should have`);
      yield chunk;
    }
    if (at < end) throw new InvalidImage(`the blob ${digest} ends after ${at} of its ${size} bytes`);
  }

  async readSmall(digest: Digest, max: number, signal?: AbortSignal): Promise<Buffer | undefined> {
    const chunks: Buffer[] = [];
    let size = 0;
    try {
      for await (const chunk of this.#readResuming(digest, 0, undefined, signal)) {
        size += chunk.length;
        if (size > max) return undefined;
        chunks.push(chunk);
      }
    } catch (error) {
      if (error instanceof BlobGone) return undefined;
      throw error;
    }
    const bytes = Buffer.concat(chunks);
    return digestOf(bytes) === digest ? bytes : undefined;
  }

  /** Reads a blob from `from` on, and continues on a new connection if one breaks. If `end` is undefined, reads to the end of the blob. */
  async *#readResuming(
    digest: Digest,
    from: number,
    end: number | undefined,
    signal?: AbortSignal,
  ): AsyncGenerator<Buffer> {
    let at = from;
    for (let failures = 0; at !== end;) {
      const before = at;
      try {
        for await (const chunk of this.#readOnce(digest, at, end === undefined ? 0 : end - at, signal)) {
          at += chunk.length;
          yield chunk;
        }
        return;
      } catch (error) {
        failures = at > before ? 1 : failures + 1;
        if (!(error instanceof EngineError) || failures === ATTEMPTS) throw error;
      }
    }
  }

  /** @param size bytes; 0 for all bytes to the end of the blob */
  async *#readOnce(digest: Digest, offset: number, size: number, signal?: AbortSignal): AsyncGenerator<Buffer> {
    const request = { digest, offset: BigInt(offset), size: BigInt(size) };
    try {
      const { timeouts, endpoint } = this.#api;
      // If there is only one connection, a message may have to wait for the data of another request.
      const limit = isOneStream(endpoint.address) ? timeouts.work : timeouts.answer;
      const what = `the blob ${digest}`;
      for await (const { data } of this.#answers(what, (client, stop) => client.read(request, stop), signal, limit)) {
        this.#api.moved += data.byteLength;
        yield Buffer.from(data.buffer, data.byteOffset, data.byteLength);
      }
    } catch (error) {
      if (!(error instanceof EngineError && isNotFound(error.cause))) throw error;
      throw new BlobGone(`the engine does not have the blob ${digest}`, { cause: error });
    }
  }

  /** Yields the messages of an answer. Each must arrive within `limit` ms. A reader that stops early cancels the call. */
  async *#answers<Message>(
    what: string,
    ask: (client: Client<typeof Content>, stop: { signal: AbortSignal }) => AsyncIterable<Message>,
    signal: AbortSignal | undefined,
    limit = Infinity,
  ): AsyncGenerator<Message> {
    const left = new AbortController();
    const signals = [signal, this.#api.signal].filter((each) => each !== undefined);
    const { endpoint } = this.#api;
    using watch = stallTimer((ms) => engineSilent(endpoint, `for ${what}`, ms), ...signals, left.signal);
    try {
      const connection = await this.#api.grpc(watch.signal);
      if (connection === undefined) throw new EngineError("the engine no longer supports gRPC");
      watch.start(limit);
      for await (const message of ask(createClient(Content, connection.transport), { signal: watch.signal })) {
        watch.stop();
        yield message;
        watch.start(limit);
      }
    } catch (error) {
      for (const each of signals) each.throwIfAborted();
      watch.signal.throwIfAborted();
      if (!(error instanceof ConnectError)) throw error;
      throw new EngineError(`the engine did not return ${what}: ${error.rawMessage}`, undefined, { cause: error });
    } finally {
      left.abort();
    }
  }
}

function isNotFound(error: unknown): boolean {
  return error instanceof ConnectError && error.code === Code.NotFound;
}

/** Returns containerd's filters (`pkg/filters`). A blob that matches one of them is listed. */
function filtersOf({ digests = [], diffIds = [], config }: BlobQuery): string[] {
  const named = config === undefined ? [] : ["config", "0"]; // containerd's label and BuildKit's
  return [
    ...digests.map((digest) => `digest=="${digest}"`),
    ...diffIds.map((diffId) => `labels."${UNCOMPRESSED}"=="${diffId}"`),
    ...named.map((name) => `labels."${NAMED}.${name}"=="${config}"`),
  ];
}

function blobOf({ digest, size, labels }: Info): ContentBlob {
  const diffId = labels[UNCOMPRESSED];
  const names = Object.entries(labels).filter(([key, value]) => key.startsWith(`${NAMED}.`) && isDigest(value));
  return {
    digest,
    size: Number(size),
    ...(isDigest(diffId) && { diffId }),
    names: names.map(([, named]) => named),
  };
}
