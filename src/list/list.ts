import { connectEngine } from "../engine/open/connect-engine.ts";
import type { EngineEndpoint } from "../engine/connect/endpoint.ts";
import { isNoSpace } from "../files/no-space.ts";
import type { HaveList } from "../have/have-list.ts";
import { Failure, messageOf } from "../output/errors.ts";
import { openHostEngine } from "../remote/host-engine.ts";
import type { HostConnection } from "../request.ts";
import { stdoutSink } from "../streams/byte-sink.ts";
import type { Context } from "../transfer.ts";
import { listEngine } from "./list-engine.ts";
import { listJson, listTable } from "./print-list.ts";

export interface ListRequest {
  /** The address in -H or DOCKER_HOST; undefined: the docker context decides. */
  endpoint: EngineEndpoint | undefined;
  /** If undefined, the engine of this side is listed. */
  host?: HostConnection | undefined;
  /** Print JSON, also on a terminal. */
  json: boolean;
}

/** Prints the images and layers of an engine on stdout: as a table on a terminal, otherwise as JSON. */
export async function list({ endpoint, host, json }: ListRequest, context: Context): Promise<void> {
  const found = await (host === undefined ? listThisSide(endpoint, context) : listHost(host, context));
  const text = json || !process.stdout.isTTY ? listJson(found) : listTable(found);
  await stdoutSink(context.signal)
    .write(chunksOf(text))
    .catch((error: unknown) => {
      throw writeFailure(error);
    });
}

async function listThisSide(endpoint: EngineEndpoint | undefined, context: Context): Promise<HaveList> {
  await using engine = await connectEngine(endpoint, context.env, context.signal);
  return await listEngine(engine, context);
}

async function listHost(host: HostConnection, context: Context): Promise<HaveList> {
  await using remote = await openHostEngine(host, context);
  const signal = AbortSignal.any([context.signal, remote.signal]);
  return await listEngine(remote.engine, { ...context, signal });
}

async function* chunksOf(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text);
}

/** Returns the Failure for a list that stdout does not accept; returns other errors unchanged. */
function writeFailure(error: unknown): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return error;
  return new Failure(
    isNoSpace(error) ? "no-space" : "transfer-failed",
    `the list cannot be written: ${messageOf(error)}`,
    {
      expected: "a file with enough room, or a program that reads the list to its end",
      hint: "The written list is incomplete: remove it, free some space, and run the same command again.",
      cause: error,
    },
  );
}
