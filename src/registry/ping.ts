import { Agent, request, type IncomingMessage } from "node:http";
import { once } from "node:events";
import type { Credentials } from "../engine/engine-images.ts";
import { messageOf } from "../output/errors.ts";
import { deadline } from "../streams/deadline.ts";
import { basicAuth } from "./password.ts";

/** The little that this process itself asks of a registry (OCI distribution spec 1.1). */

/** ms for one small answer. */
const ANSWER_TIMEOUT = 10_000;

/** Not Node's own one, nor fetch: with NODE_USE_ENV_PROXY those go through HTTP_PROXY, to 127.0.0.1 as well. */
const agent = new Agent();

export type Ping = "ready" | "asks-for-password" | "not-a-registry" | "unreachable";

/** What answers at `url`/v2/ within `timeout` ms (spec, "end-1"). Follows no redirects. Never rejects but for an abort. */
export async function pingRegistry(
  url: string,
  credentials: Credentials | undefined,
  signal: AbortSignal,
  timeout = ANSWER_TIMEOUT,
): Promise<{ ping: Ping; why: string }> {
  using late = deadline(timeout, signal);
  try {
    const { statusCode, headers } = await get(`${url}/v2/`, credentials, late.signal);
    // Distribution has sent this header since version 2; the OCI spec dropped it, so a plain 200 will do as well.
    const known = headers["docker-distribution-api-version"] === "registry/2.0";
    if (statusCode === 200) return { ping: "ready", why: "" };
    if (statusCode === 401 && (known || headers["www-authenticate"] !== undefined))
      return { ping: "asks-for-password", why: "" };
    return { ping: "not-a-registry", why: `it answers /v2/ with status ${statusCode}` };
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (late.isOver) return { ping: "unreachable", why: "no answer" };
    // Node's codes for an answer that is not HTTP
    const notHttp = String((error as { code?: unknown }).code).startsWith("HPE_");
    return { ping: notHttp ? "not-a-registry" : "unreachable", why: messageOf(error) };
  }
}

/** The head of an answer, whose body is not read. */
async function get(url: string, credentials: Credentials | undefined, signal: AbortSignal): Promise<IncomingMessage> {
  const authorization = credentials === undefined ? {} : { authorization: basicAuth(credentials) };
  const outgoing = request(url, { agent, headers: { accept: "*/*", ...authorization }, signal });
  outgoing.end();
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  response.on("error", () => {}).destroy();
  return response;
}
