import { randomUUID } from "node:crypto";
import type { Credentials } from "../engine/credentials.ts";
import type { Reference } from "../image/reference.ts";
import { formatPlatform } from "../image/platform.ts";
import { tooBusy } from "./check-service.ts";
import { multipart, type FormPart } from "./multipart.ts";
import type { RetryPolicy } from "./retry-while-away.ts";
import { noService, refusal } from "./problem.ts";
import type { PublishOrder } from "./publish-request.ts";
import { NotReached, serverUnreachable, type ServiceClient } from "./service-client.ts";

/** The build and its files. */
export interface Submission {
  name: Reference;
  order: PublishOrder;
  credentials: Credentials | undefined;
  /** Opens the compressed archive of the files, once per attempt. The bytes are the same each time. */
  archive: () => AsyncIterable<Buffer>;
}

export interface SubmitOptions {
  retries: RetryPolicy;
  /** If it aborts after the whole body was sent, `submit` still waits for the answer, which contains the ID of a build that can be cancelled. */
  signal: AbortSignal;
}

/** ms to wait for an answer after an abort. */
const LAST_WAIT = 5_000;

/** An ID that is safe in a URL */
const ID = /^[\w-]{1,100}$/;

/** Sends a build, and returns its ID. An attempt whose answer was lost is repeated under the same key: the server accepts the build once. */
export async function submit(
  client: ServiceClient,
  submission: Submission,
  { retries, signal }: SubmitOptions,
): Promise<string> {
  const key = randomUUID();
  for (;;) {
    try {
      return await attempt(client, submission, key, signal);
    } catch (error) {
      await retries.wait(error, signal, (last) =>
        last instanceof NotReached ? serverUnreachable(client, last) : tooBusy(client.address.shown, last),
      );
    }
  }
}

async function attempt(
  client: ServiceClient,
  { name, order, credentials, archive }: Submission,
  key: string,
  signal: AbortSignal,
): Promise<string> {
  const build: FormPart = {
    name: "build",
    type: "application/json",
    body: JSON.stringify({ ...orderFields(name, order), ...(credentials && { credentials: plain(credentials) }) }),
  };
  const files: FormPart = { name: "archive", type: "application/gzip", filename: "context.tar.gz", body: archive() };
  // The same text in each attempt: the server may compare the bodies.
  const boundary = `docker-over-ssh-${key}`;
  using lasting = lastingSignal(signal);
  const { status, headers, value } = await client.json({
    method: "POST",
    path: "api/v2/builds",
    headers: { "content-type": `multipart/form-data; boundary=${boundary}`, "idempotency-key": key },
    body: multipart([build, files], boundary),
    signal: lasting.signal,
    onSent: () => lasting.hold(),
  });
  if (status >= 200 && status < 300) return idOf(value, headers.location, client);
  throw refusal({ status, headers, value }, client.address);
}

/** Returns the fields of a build under their names in the API. */
function orderFields(name: Reference, order: PublishOrder): Record<string, unknown> {
  const { dockerfile, target, buildArgs, labels, platform, noCache, pull, push, purge } = order;
  return {
    name: name.given,
    file: dockerfile,
    ...(target !== undefined && { target }),
    buildArgs,
    labels,
    ...(platform !== undefined && { platform: formatPlatform(platform) }),
    noCache,
    pull,
    push,
    purge,
  };
}

function plain({ username, password }: Credentials): Record<string, string> {
  return { username, password };
}

function idOf(value: unknown, location: string | undefined, { address }: ServiceClient): string {
  const { id } = (value ?? {}) as { id?: unknown };
  const given = typeof id === "string" ? id : location?.split("/").at(-1);
  if (given !== undefined && ID.test(given)) return given;
  throw noService(address.shown, "it has accepted the build without an ID");
}

interface LastingSignal extends Disposable {
  readonly signal: AbortSignal;
  /** From now on, an abort takes effect after {@link LAST_WAIT}. */
  hold(): void;
}

function lastingSignal(signal: AbortSignal): LastingSignal {
  const controller = new AbortController();
  let delay = 0;
  let timer: NodeJS.Timeout | undefined;
  const abort = (): void => controller.abort(signal.reason);
  const onAbort = (): void => {
    if (delay === 0) abort();
    else timer = setTimeout(abort, delay);
  };
  signal.addEventListener("abort", onAbort);
  if (signal.aborted) abort();
  return {
    signal: controller.signal,
    hold: () => void (delay = LAST_WAIT),
    [Symbol.dispose]() {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    },
  };
}
