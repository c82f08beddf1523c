import { pull, type PullRequest } from "../pull.ts";
import { push, type PushRequest } from "../push.ts";
import type { Role } from "../stdio-tunnel/handshake.ts";
import { wayByCommand, type Surroundings, type Way } from "../transfer.ts";
import { readPlace } from "../locations/locations.ts";
import type { FarRequest } from "./engine-only-transfer.ts";
import { tellsName } from "./command-kind.ts";

/** `push` to whatever is at the far end: docker-over-ssh, or an engine alone. */
export async function pushToFar(request: PushRequest, around: Surroundings): Promise<void> {
  if (!isNameless(request)) return await push(request, around, await wayTo("sender", request, around));
  const byName = async (name: string | undefined): Promise<Way> => {
    const image = name === undefined ? request.image : `${request.image}:${name}`;
    return await wayTo("sender", { ...request, image }, around);
  };
  await push(request, around, { byName });
}

/** `pull` from whatever is at the far end. */
export async function pullFromFar(request: PullRequest, around: Surroundings): Promise<void> {
  await pull(request, around, await wayTo("receiver", request, around));
}

/** An archive whose own name counts: an engine at the far end, and a program that is started there, must be told one. */
function isNameless({ image, as, command }: PushRequest): boolean {
  if (as !== undefined || !tellsName(command)) return false;
  const place = readPlace(image);
  return place !== undefined && place.kind !== "docker-daemon" && place.reference === undefined;
}

/** A spawned end has its way already, and need not load the others. */
async function wayTo(role: Role, request: FarRequest, around: Surroundings): Promise<Way> {
  if (request.command.length === 0 && !request.sudo) return wayByCommand(role, request, around);
  const { wayToFar } = await import("./connect.ts");
  return await wayToFar(role, request, around);
}
