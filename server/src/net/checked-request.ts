import type { LookupAddress } from "node:dns";
import { request as requestHttp, type IncomingMessage, type RequestOptions } from "node:http";
import { request as requestHttps } from "node:https";
import type { LookupFunction } from "node:net";
import { Failure, VERSION } from "docker-over-ssh/builds";
import { checkedAddresses, parseAddress, type Network } from "./network.ts";
import { unreachable } from "./unreachable.ts";

export interface CheckedRequest {
  /** Default: GET */
  method?: "GET" | "POST";
  headers?: Readonly<Record<string, string>>;
  body?: Buffer;
  /** Maximum number of redirects to follow. Only GET follows them */
  redirects: number;
  /** Called with the target of a redirect, before a connection to it. */
  onRedirect?: (url: URL) => void;
}

export interface CheckedAnswer {
  /** Final address, after redirects */
  url: URL;
  /**
   * A response with any status, including a redirect after the last allowed one. The caller reads it to the end, or
   * destroys it.
   */
  response: IncomingMessage;
}

const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/**
 * Sends a request to an address that a client has given. Checks each redirect's address and each DNS answer against the
 * rules of the {@link Network}, and connects only to checked IP addresses. Uses no proxy, keeps no connection, and
 * always verifies certificates, regardless of the environment.
 *
 * Rejects with a Failure (`usage`, `refused` or `transfer-failed`), or with the signal's reason. The signal also ends
 * the response.
 */
export async function checkedRequest(
  address: string,
  request: CheckedRequest,
  network: Network,
  signal: AbortSignal,
): Promise<CheckedAnswer> {
  let url = parseAddress(address);
  for (let followed = 0; ; followed += 1) {
    const addresses = await checkedAddresses(url, network, signal);
    const response = await send(url, addresses, request, network, signal);
    const { location } = response.headers;
    const isRedirect = location !== undefined && REDIRECTS.has(response.statusCode ?? 0);
    if (!isRedirect || followed === request.redirects) return { url, response };
    response.destroy();
    url = readRedirect(location, url);
    request.onRedirect?.(url);
  }
}

function readRedirect(location: string, from: URL): URL {
  const to = URL.canParse(location, from.href) ? new URL(location, from.href).href : location;
  let url: URL;
  try {
    url = parseAddress(to);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw redirectRefused(from, error.message, error.expected);
  }
  if (from.protocol === "https:" && url.protocol === "http:") {
    throw redirectRefused(from, "it leads from https to http", "https, as at the beginning");
  }
  return url;
}

function redirectRefused({ host }: URL, why: string, expected: string | undefined): Failure {
  return new Failure("refused", `a redirect of ${host} is not followed: ${why}`, {
    ...(expected !== undefined && { expected }),
    hint: "Give the final address instead.",
  });
}

async function send(
  url: URL,
  addresses: readonly LookupAddress[],
  { method = "GET", headers = {}, body }: CheckedRequest,
  { ca }: Network,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const options: RequestOptions & { rejectUnauthorized: true; ca?: string } = {
    method,
    headers: {
      "user-agent": `docker-over-ssh/${VERSION}`,
      accept: "*/*",
      "accept-encoding": "identity",
      ...headers,
      ...(body !== undefined && { "content-length": String(body.length) }),
    },
    agent: false,
    lookup: answerWith(addresses),
    rejectUnauthorized: true, // even with NODE_TLS_REJECT_UNAUTHORIZED=0
    ...(ca !== undefined && { ca }),
    signal,
  };
  return await new Promise((resolve, reject) => {
    const sent = url.protocol === "https:" ? requestHttps(url, options) : requestHttp(url, options);
    sent.once("response", resolve);
    sent.once("upgrade", (_response, socket) => {
      socket.destroy();
      reject(unreachable(url, { code: "HPE_UPGRADE" }));
    });
    // The listener stays: it also handles errors after the response has begun, which the reader of the response sees as
    // well.
    sent.on("error", (error) => reject(signal.aborted ? (signal.reason as Error) : unreachable(url, error)));
    sent.end(body);
  });
}

/** Returns a replacement for DNS that only returns these addresses. Node does not call it for an IP address. */
function answerWith(addresses: readonly LookupAddress[]): LookupFunction {
  return (_hostname, { all }, callback) => {
    const [first = { address: "", family: 0 }] = addresses;
    if (all === true) callback(null, [...addresses]);
    else callback(null, first.address, first.family);
  };
}
