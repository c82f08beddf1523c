import type { IncomingMessage } from "node:http";
import type { Credentials } from "../build-request.ts";
import { Refusal } from "../refusal.ts";
import { readAnswer } from "./read-answer.ts";
import { RegistryConnection, type ConnectionOptions, type UpstreamRequest } from "./registry-connection.ts";
import { parseChallenge, createRegistryAuth, type RegistryAuth, type TokenRequest } from "./token-auth.ts";

/** Maximum ms until the first answer */
const FIRST_TIMEOUT = 30_000;
const MAX_REDIRECTS = 5;
const MAX_TOKEN_ANSWER = 256 * 1024;
const HUB = "registry-1.docker.io";

export interface UpstreamOptions extends ConnectionOptions {
  repository: string;
  credentials: Credentials | undefined;
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
  const connection = new RegistryConnection(registry, options);
  try {
    return new AuthorizedUpstream(connection, await detectAuth(connection, options));
  } catch (error) {
    connection[Symbol.dispose]();
    throw error;
  }
}

async function detectAuth(
  connection: RegistryConnection,
  { host, credentials, repository }: UpstreamOptions,
): Promise<RegistryAuth> {
  const url = new URL("/v2/", connection.registry);
  const answer = await connection.send({ method: "GET", url, headers: { accept: "*/*" } }, FIRST_TIMEOUT);
  answer.resume();
  const status = answer.statusCode ?? 0;
  if (status !== 200 && status !== 401) {
    throw new Refusal("push.registry", `${host} is not a registry: it answers /v2/ with status ${status}`, {
      statusCode: 502,
    });
  }
  const challenge = status === 401 ? parseChallenge(answer.headers["www-authenticate"]) : undefined;
  const sendRequest = async (request: TokenRequest) => await sendTokenRequest(connection, request);
  return createRegistryAuth(challenge, { credentials, repository, registry: host, sendRequest });
}

async function sendTokenRequest(
  connection: RegistryConnection,
  { method, url, headers, body }: TokenRequest,
): Promise<{ status: number; answer: unknown }> {
  connection.check(url);
  const sized = body === undefined ? headers : { ...headers, "content-length": String(body.length) };
  const request = { method, url, headers: { accept: "application/json", ...sized }, body };
  const answer = await connection.send(request, FIRST_TIMEOUT);
  const text = await readAnswer(answer, MAX_TOKEN_ANSWER);
  const { statusCode: status = 0 } = answer;
  try {
    return { status, answer: JSON.parse(text) };
  } catch {
    return { status, answer: undefined };
  }
}

class AuthorizedUpstream implements Upstream {
  readonly #connection: RegistryConnection;
  readonly #auth: RegistryAuth;

  constructor(connection: RegistryConnection, auth: RegistryAuth) {
    this.#connection = connection;
    this.#auth = auth;
  }

  get registry(): URL {
    return this.#connection.registry;
  }

  follow(location: string, from: URL): URL {
    return this.#connection.follow(location, from);
  }

  async send(request: UpstreamRequest): Promise<IncomingMessage> {
    const { registry } = this.#connection;
    const isReplayable = request.body === undefined || Buffer.isBuffer(request.body);
    let { url } = request;
    let renewed = false;
    for (let redirects = 0; ;) {
      const authorization = url.origin === registry.origin ? await this.#auth.authorization() : undefined;
      const headers = { ...request.headers, ...(authorization && { authorization }) };
      const answer = await this.#connection.send({ ...request, url, headers });
      const { statusCode = 0, headers: found } = answer;
      if (statusCode === 401 && isReplayable && !renewed && url.origin === registry.origin) {
        renewed = true;
        if (!this.#auth.renew(parseChallenge(found["www-authenticate"]))) return answer;
      } else if (request.method === "HEAD" && statusCode >= 300 && found.location && redirects++ < MAX_REDIRECTS)
        url = this.follow(found.location, url);
      else return answer;
      answer.resume();
    }
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }
}
