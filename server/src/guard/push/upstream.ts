import { once } from "node:events";
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type OutgoingHttpHeaders } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { messageOf } from "docker-over-ssh/builds";
import type { Credentials } from "../build-request.ts";
import { Refusal } from "../refusal.ts";
import { checkLiteral, checkNamedAddress, lookupPublic } from "./reachable.ts";
import { readAnswer } from "./read-answer.ts";
import type { RegistrySecurity } from "./registry-security.ts";
import { parseChallenge, createRegistryAuth, type RegistryAuth, type TokenRequest } from "./token-auth.ts";

/** Maximum ms without a byte. A registry that copies a layer of many GB into its store answers late. */
const IDLE_TIMEOUT = 300_000;
/** Maximum ms until the first answer */
const FIRST_TIMEOUT = 30_000;
const MAX_REDIRECTS = 5;
const MAX_TOKEN_ANSWER = 256 * 1024;
/** Maximum simultaneous connections. An engine sends five layers at once. */
const MAX_SOCKETS = 16;
const HUB = "registry-1.docker.io";

/** A request to the registry, or to an address that the registry names. */
export interface UpstreamRequest {
  method: string;
  url: URL;
  headers: OutgoingHttpHeaders;
  /** A stream can be read only once, so its request is not retried */
  body?: Buffer | Readable | undefined;
}

export interface UpstreamOptions {
  /** The registry's host in the tenant's name, e.g. `docker.io` */
  host: string;
  repository: string;
  credentials: Credentials | undefined;
  security: RegistrySecurity;
  /** Whether only public addresses may be reached */
  onlyPublic: boolean;
  signal: AbortSignal;
}

/** The connection to a registry for one push. Disposing closes it. */
export interface Upstream extends Disposable {
  /** e.g. `https://registry-1.docker.io` */
  readonly registry: URL;
  /**
   * Sends a request, with credentials only to the registry itself. After 401, it retries once with a new token, unless the body is a stream. HEAD follows
   * redirects. Resolves with any answer, whose body the caller must read or destroy. Rejects with a Refusal.
   */
  send(request: UpstreamRequest): Promise<IncomingMessage>;
  /** Returns the address that the registry names in Location. Throws a Refusal for an address that may not be reached. */
  follow(location: string, from: URL): URL;
}

/** Detects the protocol and the authentication scheme of the registry. Rejects with a Refusal 502 `push.registry`, or like {@link RegistryAuth}. */
export async function openUpstream(options: UpstreamOptions): Promise<Upstream> {
  const { host, security } = options;
  const at = host === "docker.io" ? HUB : host;
  const bases = [`https://${at}`, ...(security.isInsecure ? [`http://${at}`] : [])];
  let failure: unknown;
  for (const base of bases) {
    try {
      return await connect(new URL(base), options);
    } catch (error) {
      options.signal.throwIfAborted();
      if (error instanceof Refusal && error.rule !== "push.registry") throw error;
      failure = error;
    }
  }
  throw failure;
}

async function connect(registry: URL, options: UpstreamOptions): Promise<Upstream> {
  const { onlyPublic, security, signal, host } = options;
  checkLiteral(registry, onlyPublic);
  const pool = { keepAlive: true, maxSockets: MAX_SOCKETS, ...(onlyPublic && { lookup: lookupPublic }) };
  const own = { ...(security.ca && { ca: security.ca }), cert: security.cert, key: security.key };
  const agents = {
    http: new HttpAgent(pool),
    https: new HttpsAgent({ ...pool, ...own, rejectUnauthorized: !security.isInsecure }),
    /** For other hosts, to which neither the registry's certificates nor its exceptions apply */
    foreign: new HttpsAgent(pool),
  };

  const sendOnce = async (request: UpstreamRequest, timeout = IDLE_TIMEOUT): Promise<IncomingMessage> => {
    const { method, url, headers, body } = request;
    const isHttp = url.protocol === "http:";
    const agent = isHttp ? agents.http : url.origin === registry.origin ? agents.https : agents.foreign;
    const outgoing = (isHttp ? httpRequest : httpsRequest)(url, { method, headers, agent, signal });
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
  };

  const auth: RegistryAuth = await detectAuth();

  async function detectAuth(): Promise<RegistryAuth> {
    try {
      const url = new URL("/v2/", registry);
      const answer = await sendOnce({ method: "GET", url, headers: { accept: "*/*" } }, FIRST_TIMEOUT);
      answer.resume();
      const status = answer.statusCode ?? 0;
      if (status !== 200 && status !== 401)
        throw new Refusal("push.registry", `${host} is not a registry: it answers /v2/ with status ${status}`, {
          statusCode: 502,
        });
      const challenge = status === 401 ? parseChallenge(answer.headers["www-authenticate"]) : undefined;
      const { credentials, repository } = options;
      return createRegistryAuth(challenge, { credentials, repository, registry: host, sendRequest: sendTokenRequest });
    } catch (error) {
      close();
      throw error;
    }
  }

  async function sendTokenRequest({
    method,
    url,
    headers,
    body,
  }: TokenRequest): Promise<{ status: number; answer: unknown }> {
    checkNamedAddress(url, registry, onlyPublic);
    const sized = body === undefined ? headers : { ...headers, "content-length": String(body.length) };
    const answer = await sendOnce(
      { method, url, headers: { accept: "application/json", ...sized }, body },
      FIRST_TIMEOUT,
    );
    const text = await readAnswer(answer, MAX_TOKEN_ANSWER);
    try {
      return { status: answer.statusCode ?? 0, answer: JSON.parse(text) };
    } catch {
      return { status: answer.statusCode ?? 0, answer: undefined };
    }
  }

  function follow(location: string, from: URL): URL {
    if (!URL.canParse(location, from.href)) throw badLocation(host);
    const url = new URL(location, from);
    // A registry behind a proxy that terminates TLS often sends its own address with http.
    if (url.host === registry.host) url.protocol = registry.protocol;
    checkNamedAddress(url, registry, onlyPublic);
    return url;
  }

  function close(): void {
    for (const agent of Object.values(agents)) agent.destroy();
  }

  return {
    registry,
    follow,
    async send(request) {
      const isReplayable = request.body === undefined || Buffer.isBuffer(request.body);
      let { url } = request;
      let renewed = false;
      for (let redirects = 0; ;) {
        const authorization = url.origin === registry.origin ? await auth.authorization() : undefined;
        const headers = { ...request.headers, ...(authorization && { authorization }) };
        const answer = await sendOnce({ ...request, url, headers });
        const { statusCode = 0, headers: found } = answer;
        if (statusCode === 401 && isReplayable && !renewed && url.origin === registry.origin) {
          renewed = true;
          if (!auth.renew(parseChallenge(found["www-authenticate"]))) return answer;
        } else if (request.method === "HEAD" && statusCode >= 300 && found.location && redirects++ < MAX_REDIRECTS)
          url = follow(found.location, url);
        else return answer;
        answer.resume();
      }
    },
    [Symbol.dispose]: close,
  };
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
