import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { isAuthorized } from "docker-over-ssh/builds";
import { authHeader } from "../engine/auth-header.ts";
import { Refusal } from "../refusal.ts";
import type { PushName } from "./push-name.ts";
import { readManifest } from "./pushed-manifest.ts";
import { parsePushRoute, type PushRoute } from "./push-route.ts";
import { registryError } from "./registry-error.ts";
import type { UpstreamRequest } from "./registry-connection.ts";
import type { Upstream } from "./upstream.ts";

/** Headers of a registry that the engine reads */
const PASSED = ["docker-content-digest", "docker-upload-uuid", "oci-chunk-min-length", "range", "retry-after"];
/** Statuses of a registry after which a retry of the engine may succeed */
const TEMPORARY = new Set([408, 416, 429]);
/** Maximum open uploads. An image has at most 127 layers. */
const MAX_UPLOADS = 512;

export interface TrafficOptions {
  name: PushName;
  password: string;
  upstream: Upstream;
  /** The repository and the tag at the registry */
  target: { host: string; path: string; tag: string };
  /** Counts bytes of layers. Throws a Refusal when the quota is used up. */
  count: (bytes: number) => void;
  /** Called when the push can no longer succeed, to end the engine's retries. */
  onFatal: (refusal: Refusal) => void;
}

/** The traffic between the engine and the registry in one push. */
export class PushTraffic {
  readonly name: PushName;
  /** The user name in the engine's Authorization header */
  readonly username: string;
  readonly password: string;
  /** The reason why the registry or the guard has refused a request. The engine's own error would be about the guard's proxy. */
  problem: Refusal | undefined;
  /** Whether the engine has reached the proxy */
  hasRequests = false;
  readonly #options: TrafficOptions;
  /** Where the registry wants the next part of each upload, by the ID that the engine has for it */
  readonly #uploads = new Map<string, URL>();

  constructor(options: TrafficOptions) {
    this.name = options.name;
    this.username = options.name.tag;
    this.password = options.password;
    this.#options = options;
  }

  isFrom(authorization: string | undefined): boolean {
    return isAuthorized(authorization, this);
  }

  /** Answers a request of the engine. Never rejects. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.hasRequests = true;
    try {
      await this.#dispatch(request, response);
    } catch (error) {
      this.#answerError(error, request, response);
    }
  }

  #answerError(error: unknown, request: IncomingMessage, response: ServerResponse): void {
    const refusal = error instanceof Refusal ? error : undefined;
    this.problem ??= refusal;
    const { statusCode = 502, message = "the registry has not answered" } = refusal ?? {};
    const isTemporary = statusCode >= 500 || (refusal?.rule === "push.registry" && TEMPORARY.has(statusCode));
    if (refusal !== undefined && !isTemporary) this.#options.onFatal(refusal);
    // The rest of the body is not read. After DENIED, an engine does not retry.
    if (!request.complete) response.setHeader("connection", "close");
    if (response.headersSent) response.destroy();
    else if (isTemporary) sendError(response, statusCode, "UNKNOWN", message);
    else sendError(response, 403, "DENIED", message);
  }

  async #dispatch(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { tag } = this.name;
    const route = parsePushRoute(request.method ?? "", request.url ?? "", this.name);
    switch (route?.kind) {
      case "base":
        return void response.writeHead(200, { "content-type": "application/json" }).end("{}");
      case "check": {
        const path = route.path === `manifests/${tag}` ? `manifests/${this.#options.target.tag}` : route.path;
        return await this.#check(path, request, response);
      }
      case "start":
        return await this.#startUpload(response);
      case "upload":
        return await this.#upload(route, request, response);
      case "manifest":
        return await this.#putManifest(route.reference, request, response);
      default:
        return sendError(response, 404, "UNSUPPORTED", "this registry accepts only the requests of one push");
    }
  }

  async #check(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { accept } = request.headers;
    const answer = await this.#send("HEAD", this.#at(path), { headers: { ...(accept !== undefined && { accept }) } });
    answer.resume();
    const status = answer.statusCode ?? 502;
    // Some registries refuse the request instead of answering 404. In that case, the engine sends the blob.
    if (status !== 200 && status !== 404) this.problem ??= await registryError(answer, this.#options.target.host);
    const { "content-length": length, "content-type": type } = answer.headers;
    const described = {
      ...(length !== undefined && { "content-length": length }),
      ...(type && { "content-type": type }),
    };
    response.writeHead(status === 401 ? 403 : status, status === 200 ? { ...passed(answer), ...described } : {}).end();
  }

  async #startUpload(response: ServerResponse): Promise<void> {
    const { host } = this.#options.target;
    const url = this.#at("blobs/uploads/");
    const answer = await this.#send("POST", url);
    if (answer.statusCode !== 202) throw await registryError(answer, host);
    if (answer.headers.location === undefined || this.#uploads.size >= MAX_UPLOADS) throw noUpload(host);
    this.#answerUpload(answer, url, response, randomUUID());
  }

  async #upload(
    { id, digest, method }: PushRoute & { kind: "upload" },
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const { count, target } = this.#options;
    const known = this.#uploads.get(id);
    if (known === undefined) return sendError(response, 404, "BLOB_UPLOAD_UNKNOWN", "there is no such upload");
    const url = new URL(known);
    if (digest !== undefined) url.searchParams.set("digest", digest);
    const hasBody = method === "PATCH" || method === "PUT";
    const rest = hasBody ? { headers: bodyHeaders(request), body: counted(request, count) } : {};
    const answer = await this.#send(method, url, rest);
    if ((answer.statusCode ?? 0) >= 300) throw await registryError(answer, target.host);
    this.#answerUpload(answer, url, response, id);
  }

  /** Answers with an address of the guard. The engine never gets an address that the registry names. */
  #answerUpload(answer: IncomingMessage, from: URL, response: ServerResponse, id: string): void {
    answer.resume();
    const { location } = answer.headers;
    const isOpen = answer.statusCode === 202 || answer.statusCode === 204;
    if (isOpen && location !== undefined) this.#uploads.set(id, this.#options.upstream.follow(location, from));
    else if (!isOpen) this.#uploads.delete(id);
    const own = `http://${this.name.host}/v2/${this.name.repository}/blobs/uploads/${id}`;
    response.writeHead(answer.statusCode ?? 502, { ...passed(answer), location: own, "content-length": 0 }).end();
  }

  async #putManifest(reference: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { target } = this.#options;
    const isTag = reference === this.name.tag;
    const { body, type } = await readManifest(request, isTag ? undefined : reference);
    const answer = await this.#send("PUT", this.#at(`manifests/${isTag ? target.tag : reference}`), {
      headers: { "content-type": type, "content-length": String(body.length) },
      body,
    });
    if ((answer.statusCode ?? 0) >= 300) throw await registryError(answer, target.host);
    answer.resume();
    response.writeHead(answer.statusCode ?? 201, { ...passed(answer), "content-length": 0 }).end();
  }

  #at(path: string): URL {
    const { upstream, target } = this.#options;
    return new URL(`/v2/${target.path}/${path}`, upstream.registry);
  }

  async #send(method: string, url: URL, rest: Partial<UpstreamRequest> = {}): Promise<IncomingMessage> {
    return await this.#options.upstream.send({ method, url, headers: { "content-length": "0" }, ...rest });
  }
}

/** Yields a body as it arrives, and counts its bytes. Does not destroy the request, because the answer needs its connection. */
function counted(request: IncomingMessage, count: (bytes: number) => void): Readable {
  async function* chunks(): AsyncGenerator<Buffer> {
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      count(chunk.length);
      yield chunk;
    }
  }
  return Readable.from(chunks(), { objectMode: false });
}

function bodyHeaders({ headers }: IncomingMessage): Record<string, string> {
  const { "content-length": length, "content-range": range } = headers;
  return {
    "content-type": "application/octet-stream",
    ...(length !== undefined && /^\d+$/.test(length) && { "content-length": length }),
    ...(range !== undefined && /^\d+-\d+$/.test(range) && { "content-range": range }),
  };
}

function passed({ headers }: IncomingMessage): Record<string, string> {
  const found = PASSED.map((key) => [key, headers[key]] as const);
  return Object.fromEntries(found.filter((pair): pair is readonly [string, string] => typeof pair[1] === "string"));
}

function noUpload(host: string): Refusal {
  return new Refusal("push.registry", `${host} did not say where to send a layer`, { statusCode: 502 });
}

/** Answers with an error body in the format of the distribution spec. */
export function sendError(response: ServerResponse, status: number, code: string, message: string): void {
  const body = Buffer.from(JSON.stringify({ errors: [{ code, message }] }));
  response.writeHead(status, { "content-type": "application/json", "content-length": body.length }).end(body);
}

/** Returns the engine's credentials for the proxy, for X-Registry-Auth (moby, `api/types/registry`, AuthConfig). */
export function engineAuth({ username, password, name }: PushTraffic): string {
  return authHeader({ username, password, serveraddress: name.host });
}
