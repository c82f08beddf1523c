import { contextSummary } from "../build-context/context-summary.ts";
import type { OpenedContext } from "../build-context/local-files.ts";
import { writeContextTar } from "../build-context/tar/write-context-tar.ts";
import { openContext } from "../build/open-context.ts";
import { registryCredentials } from "../credentials/registry-credentials.ts";
import type { Credentials } from "../engine/credentials.ts";
import type { Output } from "../output/output.ts";
import { countBytes } from "../streams/count-bytes.ts";
import { gzip } from "../streams/gzip.ts";
import { timeoutsFor } from "../streams/timeouts.ts";
import type { Context } from "../transfer.ts";
import { checkService } from "./check-service.ts";
import { follow } from "./follow.ts";
import { failureOf, type ServedJob } from "./job.ts";
import { CLOCK, RetryPolicy, type Clock } from "./retry-while-away.ts";
import type { PublishRequest } from "./publish-request.ts";
import { readServerAddress, type ServerAddress } from "./server-address.ts";
import { ServiceClient } from "./service-client.ts";
import { stopBuild, type StopOptions } from "./stop.ts";
import { submit } from "./submit.ts";
import { readToken } from "./token.ts";

/** Dependencies that a test replaces. */
export interface PublishTools {
  clock?: Clock;
  ask?: StopOptions["ask"];
  /** Writes to stdout */
  print?: (text: string) => void;
}

/**
 * Lets a build service build the files of this side: sends them, shows the log, and ends when the build ends. Rejects with the Failure of
 * the build, in the words of the server.
 */
export async function publish(
  request: PublishRequest,
  context: Context,
  { clock = CLOCK, ask, print = (text) => void process.stdout.write(text) }: PublishTools = {},
): Promise<void> {
  const { output, signal, env } = context;
  const address = readServerAddress(request.server, env);
  const client = new ServiceClient(
    address,
    await readToken(request.tokenFile, env),
    timeoutsFor(request.timeout).answer,
  );
  const retries = new RetryPolicy(clock, output);
  const began = clock.now();
  await checkService(client, { retries, signal, isFollowed: !request.isDetached });
  const sent = await send(request, context, client, retries);
  const { id } = sent;
  const contextMs = Math.round(clock.now() - began);
  output.note({ code: "build-accepted", id, server: address.shown });
  if (request.isDetached) {
    if (request.printsId) print(`${id}\n`);
    return;
  }
  let job: ServedJob;
  try {
    job = await follow(client, id, {
      retries,
      signal,
      onLine: (line) => output.event({ type: "build-text", text: `${line}\n` }),
      onJob: noteOfPlace(output),
    });
  } catch (error) {
    if (signal.aborted)
      await stopBuild(client, id, { output, reason: signal.reason, mayPrompt: request.mayPrompt, ask });
    throw error;
  }
  if (job.state !== "succeeded") throw failureOf(job);
  const { build = 0, push } = job.phases;
  output.event({
    type: "built",
    names: [request.name.given],
    id: job.imageId ?? "",
    ...(job.digest !== undefined && { digest: job.digest }),
    ...(job.size !== undefined && { size: job.size }),
    contextBytes: sent.bytes,
    ms: {
      total: Math.round(clock.now() - began),
      context: contextMs,
      build,
      ...(push !== undefined && request.order.push && { push }),
    },
  });
}

/** Sends the build with its files. Returns its ID, and the number of bytes of the compressed archive. */
async function send(
  request: PublishRequest,
  context: Context,
  client: ServiceClient,
  retries: RetryPolicy,
): Promise<{ id: string; bytes: number }> {
  const { signal } = context;
  const credentials = await credentialsFor(request, client.address, context);
  await using files = await openContext(request.files, request.order.dockerfile, context);
  let bytes = 0;
  const archive = (): AsyncIterable<Buffer> => {
    bytes = 0;
    return countBytes(gzip(readFiles(files, context)), (count) => (bytes += count));
  };
  const order = { ...request.order, dockerfile: files.dockerfile };
  const id = await submit(client, { name: request.name, order, credentials, archive }, { retries, signal });
  return { id, bytes };
}

/** Returns the tar of the files, and emits progress while it is read. */
function readFiles(files: OpenedContext, { output, signal }: Context): AsyncIterable<Buffer> {
  const total = contextSummary(files).bytes;
  let current = 0;
  return countBytes(writeContextTar(files, signal) as AsyncIterable<Buffer>, (count) => {
    current = Math.min(total, current + count); // headers are not in the total
    output.progress({ stage: "sending-context", current, total });
  });
}

/** Returns the credentials of this user for the registry in the name; undefined if they must not be sent. */
async function credentialsFor(
  { name, order, credentials: choice }: PublishRequest,
  address: ServerAddress,
  { env, output }: Context,
): Promise<Credentials | undefined> {
  if (!order.push || choice === "never") return undefined;
  const found = await registryCredentials({ env, warn: (warning) => output.warn(warning) }).for(name.domain);
  if (found === undefined) return undefined;
  if (choice === "auto" && !address.isPrivate) {
    output.warn({ code: "credentials-not-sent", registry: name.domain, server: address.shown });
    return undefined;
  }
  output.note({ code: "credentials-sent", registry: name.domain });
  return found;
}

/** Returns a function that emits the position in the queue when it has changed. */
function noteOfPlace(output: Output): (job: ServedJob) => void {
  let reported = 0;
  return ({ state, position = 0 }) => {
    if (state === "queued" && position > 0 && position !== reported)
      output.note({ code: "build-waiting", ahead: position });
    reported = position;
  };
}
