import { once } from "node:events";
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type OutgoingHttpHeaders } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { messageOf } from "docker-over-ssh/builds";
import { Refusal } from "../refusal.ts";
import { checkLiteral, checkNamedAddress, lookupPublic } from "./reachable.ts";
import type { RegistrySecurity } from "./registry-security.ts";

/** Maximum ms without a byte. A registry that copies a layer of many GB into its store answers late. */
const IDLE_TIMEOUT = 300_000;
/** Maximum simultaneous connections. An engine sends five layers at once. */
const MAX_SOCKETS = 16;

/** A request to the registry, or to an address that the registry names. */
export interface UpstreamRequest {
  method: string;
  url: URL;
  headers: OutgoingHttpHeaders;
  /** A stream can be read only once, so its request is not retried */
  body?: Buffer | Readable | undefined;
}

export interface ConnectionOptions {
  /** The registry's host in the tenant's name, e.g. `docker.io` */
  host: string;
  security: RegistrySecurity;
  /** Whether only public addresses may be reached */
  onlyPublic: boolean;
  signal: AbortSignal;
}

/** The HTTP connections of one push to a registry, and to the addresses that it names. Sends no credentials by itself. */
export class RegistryConnection implements Disposable {
  /** e.g. `https://registry-1.docker.io` */
  readonly registry: URL;
  readonly #options: ConnectionOptions;
  readonly #agents: { http: HttpAgent; https: HttpsAgent; foreign: HttpsAgent };

  /** @throws Refusal for an address that may not be reached */
  constructor(registry: URL, options: ConnectionOptions) {
    const { onlyPublic, security } = options;
    checkLiteral(registry, onlyPublic);
    const pool = { keepAlive: true, maxSockets: MAX_SOCKETS, ...(onlyPublic && { lookup: lookupPublic }) };
    const own = { ...(security.ca && { ca: security.ca }), cert: security.cert, key: security.key };
    this.registry = registry;
    this.#options = options;
    this.#agents = {
      http: new HttpAgent(pool),
      https: new HttpsAgent({ ...pool, ...own, rejectUnauthorized: !security.isInsecure }),
      // For other hosts, to which neither the registry's certificates nor its exceptions apply
      foreign: new HttpsAgent(pool),
    };
  }

  /** Sends a request once. Resolves with any answer, whose body the caller must read or destroy. Rejects with a Refusal. */
  async send(request: UpstreamRequest, timeout = IDLE_TIMEOUT): Promise<IncomingMessage> {
    const { host, signal } = this.#options;
    const { method, url, headers, body } = request;
    const send = url.protocol === "http:" ? httpRequest : httpsRequest;
    const outgoing = send(url, { method, headers, agent: this.#agentFor(url), signal });
    outgoing.setTimeout(timeout, () => outgoing.destroy(new Error(`no answer within ${timeout / 1000} s`)));
    outgoing.on("error", () => {}); // ignores errors after the answer
    try {
      const answered = once(outgoing, "response") as Promise<[IncomingMessage]>;
      // A registry that refuses a layer answers before it has read the whole body, and then closes the connection.
      const sent = body === undefined || Buffer.isBuffer(body) ? void outgoing.end(body) : pipeline(body, outgoing);
      const failed = Promise.resolve(sent).then(
        async () => await answered,
        async (error: unknown) => {
          if (error instanceof Refusal) throw error;
          return await answered;
        },
      );
      // An unexpected 101 closes the connection, and Node reports neither an answer nor an error.
      const closed = once(outgoing, "close").then((): never => {
        throw new Error("the connection was closed before an answer");
      });
      const [answer] = await Promise.race([answered, failed, closed]);
      answer.on("error", () => {});
      return answer;
    } catch (error) {
      outgoing.destroy();
      signal.throwIfAborted();
      throw error instanceof Refusal ? error : unreachable(host, url, error);
    }
  }

  /** Throws a Refusal for an address that may not be reached. */
  check(url: URL): void {
    checkNamedAddress(url, this.registry, this.#options.onlyPublic);
  }

  /** Returns the address that the registry names in Location. Throws a Refusal for an address that may not be reached. */
  follow(location: string, from: URL): URL {
    if (!URL.canParse(location, from.href)) throw badLocation(this.#options.host);
    const url = new URL(location, from);
    // A registry behind a proxy that terminates TLS often sends its own address with http.
    if (url.host === this.registry.host) url.protocol = this.registry.protocol;
    this.check(url);
    return url;
  }

  #agentFor(url: URL): HttpAgent | HttpsAgent {
    if (url.protocol === "http:") return this.#agents.http;
    return url.origin === this.registry.origin ? this.#agents.https : this.#agents.foreign;
  }

  [Symbol.dispose](): void {
    for (const agent of Object.values(this.#agents)) agent.destroy();
  }
}

function unreachable(host: string, url: URL, error: unknown): Refusal {
  const isPlain = /wrong version number|packet length too long|EPROTO/i.test(messageOf(error));
  const hint = isPlain ? "; it has no HTTPS, and the engine does not list it in insecure-registries" : "";
  const where = url.host === host ? host : `${host} (${url.host})`;
  return new Refusal("push.registry", `the registry ${where} cannot be reached: ${messageOf(error)}${hint}`, {
    statusCode: 502,
    cause: error,
  });
}

function badLocation(host: string): Refusal {
  return new Refusal("push.registry", `${host} has answered with a Location that is no address`, { statusCode: 502 });
}
