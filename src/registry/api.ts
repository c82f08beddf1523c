import type { Credentials } from "../engine/engine.ts";
import { messageOf } from "../output/errors.ts";
import { basicAuth } from "./password.ts";

/** The little that this process itself asks of a registry (OCI distribution spec 1.1). */

/** ms for one small answer. */
const ANSWER_TIMEOUT = 10_000;

export type Ping = "ready" | "asks-for-password" | "not-a-registry" | "unreachable";

/** What answers at `url`/v2/ within `timeout` ms (spec, "end-1"). Never rejects but for an abort. */
export async function pingRegistry(
  url: string,
  credentials: Credentials | undefined,
  signal: AbortSignal,
  timeout = ANSWER_TIMEOUT,
): Promise<{ ping: Ping; why: string }> {
  try {
    const response = await get(`${url}/v2/`, credentials, signal, { timeout });
    await response.body?.cancel();
    // Distribution has sent this header since version 2; the OCI spec dropped it, so a plain 200 will do as well.
    const known = response.headers.get("docker-distribution-api-version") === "registry/2.0";
    if (response.status === 200) return { ping: "ready", why: "" };
    if (response.status === 401 && (known || response.headers.has("www-authenticate")))
      return { ping: "asks-for-password", why: "" };
    return { ping: "not-a-registry", why: `it answers /v2/ with status ${response.status}` };
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (error instanceof Error && error.name === "TimeoutError") return { ping: "unreachable", why: "no answer" };
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    // undici's codes for an answer that is not HTTP
    const notHttp = String((cause as { code?: unknown }).code).startsWith("HPE_");
    return { ping: notHttp ? "not-a-registry" : "unreachable", why: messageOf(cause) };
  }
}

interface GetOptions {
  accept?: string;
  /** ms */
  timeout?: number;
}

async function get(
  url: string,
  credentials: Credentials | undefined,
  stop: AbortSignal,
  { accept = "*/*", timeout = ANSWER_TIMEOUT }: GetOptions = {},
): Promise<Response> {
  const headers = { accept, ...(credentials === undefined ? {} : { authorization: basicAuth(credentials) }) };
  const signal = AbortSignal.any([stop, AbortSignal.timeout(timeout)]);
  return await fetch(url, { headers, redirect: "error", signal });
}
