import type { PullRequest, PushRequest } from "../request.ts";
import { pull } from "../pull.ts";
import { push } from "../push.ts";
import type { Role } from "../stdio-tunnel/handshake.ts";
import { connectByCommand, type Context, type Connect } from "../transfer.ts";
import { readLocation } from "../locations/locations.ts";
import type { RemoteRequest } from "./engine-only-transfer.ts";
import { tellsName } from "./command-kind.ts";

/** `push` to whatever is at the far end: docker-over-ssh, or an engine alone. */
export async function pushToRemote(request: PushRequest, context: Context): Promise<void> {
  if (!isNameless(request)) return await push(request, context, await wayTo("sender", request, context));
  const byName = async (name: string | undefined): Promise<Connect> => {
    const image = name === undefined ? request.image : `${request.image}:${name}`;
    return await wayTo("sender", { ...request, image }, context);
  };
  await push(request, context, { byName });
}

/** `pull` from whatever is at the far end. */
export async function pullFromRemote(request: PullRequest, context: Context): Promise<void> {
  await pull(request, context, await wayTo("receiver", request, context));
}

/** An archive whose own name counts: an engine at the far end, and a program that is started there, must be told one. */
function isNameless({ image, as, command }: PushRequest): boolean {
  if (as !== undefined || !tellsName(command)) return false;
  const location = readLocation(image);
  return location !== undefined && location.kind !== "docker-daemon" && location.reference === undefined;
}

/** A spawned end has its way already, and need not load the others. */
async function wayTo(role: Role, request: RemoteRequest, context: Context): Promise<Connect> {
  if (request.command.length === 0 && !request.sudo) return connectByCommand(role, request, context);
  const { chooseConnection } = await import("./connect.ts");
  return await chooseConnection(role, request, context);
}
