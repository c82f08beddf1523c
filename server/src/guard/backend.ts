import type { Duplex, Readable } from "node:stream";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import type { BuildRequest, Credentials } from "./build-request.ts";
import type { Caller } from "./caller.ts";
import type { Tenant } from "./tenant.ts";

/**
 * The service behind the sockets: an engine that several tenants share (`passthrough`), or buildah with a storage for
 * each tenant. All names are the tenant's, and a backend maps them. All methods reject with a Refusal, which becomes
 * the answer; any other error is a bug (500).
 */
export interface Backend extends AsyncDisposable {
  readonly images: BackendImages;
  readonly builds: BackendBuilds;
  /** Undefined without BuildKit: `/session` gets 404, and gRPC calls get a message that names the classic builder. */
  readonly buildkit?: BackendBuildkit | undefined;
  version(signal: AbortSignal): Promise<BackendVersion>;
  /**
   * Makes the engine check credentials (`docker login`). Undefined if nothing checks them before they are used.
   *
   * @param registry its host, with an optional port; `docker.io` for Docker Hub. The policy allows it
   * @returns a token that replaces the password, if the registry issues one
   */
  login?(caller: Caller, registry: string, credentials: Credentials): Promise<string | undefined>;
  /** Removes all data of a tenant: images, cache records, files. It may be called again, e.g. after a crash. */
  removeTenant(tenant: Tenant["id"]): Promise<void>;
}

export interface BackendVersion {
  /** e.g. `28.5.2` */
  version: string;
  /** The newest and the oldest version that it supports, e.g. `1.51` */
  apiVersion: string;
  minApiVersion: string;
  os: string;
  /** e.g. `amd64` */
  arch: string;
  /** Whether images are in the containerd image store */
  hasContainerdStore: boolean;
}

/**
 * An object of the Engine API, with the tenant's names, without other names, and only with properties that the guard
 * knows.
 */
export type ApiObject = Readonly<Record<string, unknown>>;

export interface BackendImages {
  list(caller: Caller, filter: ImageFilter): Promise<ApiObject[]>;
  /**
   * @param name a name, a name with a digest, an ID, or the beginning of an ID; the same applies to the methods below
   */
  inspect(
    caller: Caller,
    name: string,
    options: { platform?: string | undefined; manifests: boolean },
  ): Promise<ApiObject>;
  history(caller: Caller, name: string, options: { platform?: string | undefined }): Promise<ApiObject[]>;
  tag(caller: Caller, name: string, target: string): Promise<void>;
  /** @returns `{Untagged}` and `{Deleted}` */
  remove(caller: Caller, name: string, options: { force: boolean; noPrune: boolean }): Promise<ApiObject[]>;
  /**
   * Returns the archive that `docker save` writes, with the tenant's names. The caller reads it to its end, or destroys
   * it.
   */
  save(caller: Caller, names: readonly string[], options: { platform?: string | undefined }): Promise<Readable>;
  /**
   * Pushes one tag. `onLine` receives lines of progress in the engine's form; a push that fails ends with an `{error,
   * errorDetail}` line.
   */
  push(caller: Caller, reference: string, options: PushOptions): Promise<void>;
  /** Yields events of the tenant's images. Ends when the caller's signal is aborted, or at `until`. */
  events(caller: Caller, filter: EventFilter): AsyncIterable<ApiObject>;
}

export interface ImageFilter {
  all: boolean;
  digests: boolean;
  /** Whether to list the manifests of multi-platform images, which `docker images` of Docker 29 requests */
  manifests?: boolean | undefined;
  /** Reference patterns of `--filter reference=` */
  references: readonly string[];
  dangling?: boolean | undefined;
  labels: readonly string[];
  before: readonly string[];
  since: readonly string[];
  until: readonly string[];
}

export interface EventFilter {
  /** Seconds since 1970, or another format of docker */
  since?: string | undefined;
  until?: string | undefined;
  /** e.g. `{ event: ["tag"], image: ["app"] }` */
  filters: Readonly<Record<string, readonly string[]>>;
}

export interface PushOptions {
  credentials?: Credentials | undefined;
  platform?: string | undefined;
  onLine: (line: ApiObject) => void;
}

export interface BackendBuilds {
  /**
   * Builds with the classic builder, with BuildKit (`version=2`), or with buildah.
   *
   * @param context a tar, perhaps compressed; undefined if the request names a session or an address
   * @param onLine receives lines in the engine's form: `{stream}`, `{aux}`, `{error, errorDetail}`
   */
  build(
    caller: Caller,
    request: BuildRequest,
    context: Readable | undefined,
    onLine: (line: ApiObject) => void,
  ): Promise<void>;
  /** Removes the tenant's own cache records. */
  prune(
    caller: Caller,
    options: { all: boolean; keepStorage?: number | undefined; filters: Readonly<Record<string, readonly string[]>> },
  ): Promise<{ caches: string[]; spaceReclaimed: number }>;
  /** Cancels a build by its `buildid`. */
  cancel(caller: Caller, buildId: string): Promise<void>;
}

export interface BackendBuildkit {
  /** Answers a gRPC call of an HTTP/2 connection. */
  handle(caller: Caller, request: Http2ServerRequest, response: Http2ServerResponse): void;
  /** Opens a session, on which the engine is the client. The caller answers 101 and joins it with the tenant's connection, which it owns. */
  openSession(caller: Caller, session: SessionRequest): Promise<OpenSession>;
}

export interface OpenSession {
  /** The connection to the engine. The caller owns it. */
  stream: Duplex;
  /**
   * Counts bytes that the tenant sends, before they are written to `stream`. If there are too many, it ends the builds
   * that read from the session.
   *
   * @throws Refusal `context.size`
   */
  count: (bytes: number) => void;
}

/** The headers `X-Docker-Expose-Session-*` */
export interface SessionRequest {
  /** The ID that the tenant's client chose, e.g. `p20j9smw5c61gaidotnchas26` */
  id: string;
  name: string;
  sharedKey: string;
  /** e.g. `/moby.filesync.v1.FileSync/DiffCopy` */
  methods: readonly string[];
}
