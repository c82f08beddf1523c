import { pull, type PullRequest } from "../pull.ts";
import { push, type PushRequest } from "../push.ts";
import type { Role } from "../stdio-tunnel/handshake.ts";
import { wayByCommand, type Surroundings, type Way } from "../transfer.ts";
import type { FarRequest } from "./agentless.ts";

/** `push` to whatever is at the far end: docker-over-ssh, or an engine alone. */
export async function pushToFar(request: PushRequest, around: Surroundings): Promise<void> {
  await push(request, around, await wayTo("sender", request, around));
}

/** `pull` from whatever is at the far end. */
export async function pullFromFar(request: PullRequest, around: Surroundings): Promise<void> {
  await pull(request, around, await wayTo("receiver", request, around));
}

/** A spawned end has its way already, and need not load the others. */
async function wayTo(role: Role, request: FarRequest, around: Surroundings): Promise<Way> {
  if (request.command.length === 0 && !request.sudo) return wayByCommand(role, request, around);
  const { wayToFar } = await import("./ways.ts");
  return await wayToFar(role, request, around);
}
