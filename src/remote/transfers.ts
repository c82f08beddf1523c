import { parseReference } from "../image/reference.ts";
import type { TransferResult } from "../output/events.ts";
import { pull } from "../pull.ts";
import { push } from "../push.ts";
import type { PullRequest, PushRequest } from "../request.ts";
import type { Context } from "../transfer.ts";
import { chooseConnection } from "./connect.ts";

/** Pushes to whatever is on the remote side: docker-over-ssh, or an engine alone. */
export async function pushToRemote(request: PushRequest, context: Context): Promise<TransferResult> {
  const { connection, remoteName } = request;
  if (remoteName !== undefined || (connection.kind !== "host" && connection.kind !== "engine")) {
    return await push(request, context, await chooseConnection(request, context));
  }
  const byName = async (name: string | undefined) => {
    const named = name === undefined ? request : { ...request, remoteName: parseReference(name) };
    return await chooseConnection(named, context);
  };
  return await push(request, context, { byName });
}

/** Pulls from whatever is on the remote side. */
export async function pullFromRemote(request: PullRequest, context: Context): Promise<TransferResult> {
  return await pull(request, context, await chooseConnection(request, context));
}
