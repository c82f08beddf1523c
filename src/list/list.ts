import { connectEngine } from "../engine/open/connect-engine.ts";
import type { EngineEndpoint } from "../engine/connect/endpoint.ts";
import type { HaveList } from "../have/have-list.ts";
import { openHostEngine } from "../remote/host-engine.ts";
import type { HostConnection } from "../request.ts";
import type { Context } from "../transfer.ts";
import { listEngine } from "./list-engine.ts";
import { listJson, listTable } from "./print-list.ts";

export interface ListRequest {
  /** The address in -H or DOCKER_HOST; undefined: the docker context decides. */
  endpoint: EngineEndpoint | undefined;
  /** Left out: the engine of this side. */
  host?: HostConnection | undefined;
  /** For a program, also on a terminal. */
  json: boolean;
}

/** Prints on stdout what an engine has: a table on a terminal, else the list itself. */
export async function list({ endpoint, host, json }: ListRequest, context: Context): Promise<void> {
  const found = await (host === undefined ? listHere(endpoint, context) : listThere(host, context));
  await write(json || !process.stdout.isTTY ? listJson(found) : listTable(found));
}

async function listHere(endpoint: EngineEndpoint | undefined, context: Context): Promise<HaveList> {
  await using engine = await connectEngine(endpoint, context.env, context.signal);
  return await listEngine(engine, context);
}

async function listThere(host: HostConnection, context: Context): Promise<HaveList> {
  await using remote = await openHostEngine(host, context);
  const signal = AbortSignal.any([context.signal, remote.signal]);
  return await listEngine(remote.engine, { ...context, signal });
}

/** Writes all of a text: the process may exit as soon as this has resolved. */
async function write(text: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    process.stdout.write(text, (error) => (error ? reject(error) : resolve()));
  });
}
