import { pull, type PullRequest } from "../pull.ts";
import { push, type PushRequest } from "../push.ts";
import type { Surroundings } from "../transfer.ts";
import { wayToFar } from "./ways.ts";

/** `push` to whatever is at the far end: docker-over-ssh, or an engine alone. */
export async function pushToFar(request: PushRequest, around: Surroundings): Promise<void> {
  await push(request, around, wayToFar("sender", request, around));
}

/** `pull` from whatever is at the far end. */
export async function pullFromFar(request: PullRequest, around: Surroundings): Promise<void> {
  await pull(request, around, wayToFar("receiver", request, around));
}
