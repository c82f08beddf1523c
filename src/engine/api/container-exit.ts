import { setTimeout as pause } from "node:timers/promises";
import type { DockerApi } from "./docker-api.ts";
import { isOneStream } from "../connect/endpoint.ts";
import { EngineError } from "../engine-error.ts";

/** The status of a container whose end nobody can tell. */
const UNKNOWN = { status: -1 };

/** ms between two looks at a container that cannot be waited for. */
const PACE = 1_000;

/** An engine that cannot be asked so many times in a row is gone, and its containers with it. */
const ATTEMPTS = 10;

/**
 * Waits for a container to stop. The request that waits is open for as long as the container runs, and whatever is in between
 * (a proxy that does not like idle connections, an ssh) may end it: that says nothing about the container, which is looked at
 * then. Where that request would keep all others waiting, it is only looked at. Never rejects.
 *
 * @param removed Aborted when somebody has removed the container, and nobody will tell any more how it ended.
 */
export async function exitOf(
  api: DockerApi,
  id: string,
  removed: AbortSignal,
  pace: number = PACE,
): Promise<{ status: number }> {
  for (let failures = 0; failures < ATTEMPTS && !removed.aborted;) {
    try {
      if (!isOneStream(api.endpoint.address)) {
        const { StatusCode } = (await api.json("POST", `/containers/${id}/wait`, {
          signal: removed,
          patience: "none",
        })) as {
          StatusCode: number;
        };
        return { status: StatusCode };
      }
    } catch (error) {
      if (isMissing(error)) return UNKNOWN;
    }
    try {
      const { State } = (await api.json("GET", `/containers/${id}/json`, { signal: removed })) as {
        State: { Running: boolean; ExitCode: number };
      };
      if (!State.Running) return { status: State.ExitCode };
      failures = 0;
    } catch (error) {
      if (isMissing(error)) return UNKNOWN;
      failures++;
    }
    await pause(pace, undefined, { signal: removed, ref: false }).catch(() => {});
  }
  return UNKNOWN;
}

function isMissing(error: unknown): boolean {
  return error instanceof EngineError && error.status === 404;
}
