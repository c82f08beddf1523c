import { Agent, request, type IncomingMessage } from "node:http";
import { once } from "node:events";
import type { Credentials } from "../engine/credentials.ts";
import { messageOf } from "../output/errors.ts";
import { deadline } from "../streams/deadline.ts";
import { basicAuth } from "./password.ts";

/** ms */
const ANSWER_TIMEOUT = 10_000;

/** Node's global agent and fetch are not used, because with NODE_USE_ENV_PROXY they use HTTP_PROXY, even for 127.0.0.1. */
const agent = new Agent();

export type RegistryState = "ready" | "asks-for-password" | "not-a-registry" | "unreachable";

/** Requests `url`/v2/ (OCI distribution spec 1.1, "end-1") within `timeout` ms, without following redirects. Rejects only if aborted. */
export async function pingRegistry(
  url: string,
  credentials: Credentials | undefined,
  signal: AbortSignal,
  timeout = ANSWER_TIMEOUT,
): Promise<{ state: RegistryState; reason: string }> {
  using late = deadline(timeout, signal);
  try {
    const { statusCode, headers } = await get(`${url}/v2/`, credentials, late.signal);
    // Distribution sends this header since version 2. The OCI spec dropped it, so a plain 200 is accepted as well.
    const isRegistry = headers["docker-distribution-api-version"] === "registry/2.0";
    if (statusCode === 200) return { state: "ready", reason: "" };
    if (statusCode === 401 && (isRegistry || headers["www-authenticate"] !== undefined))
      return { state: "asks-for-password", reason: "" };
    return { state: "not-a-registry", reason: `it answers /v2/ with status ${statusCode}` };
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (late.isOver) return { state: "unreachable", reason: "no answer" };
    // Node's error codes for an answer that is not HTTP.
    const isNotHttp = String((error as { code?: unknown }).code).startsWith("HPE_");
    return { state: isNotHttp ? "not-a-registry" : "unreachable", reason: messageOf(error) };
  }
}

/** Returns the head of the answer, and does not read its body. */
async function get(url: string, credentials: Credentials | undefined, signal: AbortSignal): Promise<IncomingMessage> {
  const authorization = credentials === undefined ? {} : { authorization: basicAuth(credentials) };
  const outgoing = request(url, { agent, headers: { accept: "*/*", ...authorization }, signal });
  outgoing.end();
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  response.on("error", () => {}).destroy();
  return response;
}
