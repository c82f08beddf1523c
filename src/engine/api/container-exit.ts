import { setTimeout as pause } from "node:timers/promises";
import type { DockerApi } from "./docker-api.ts";
import { isOneStream } from "../connect/endpoint.ts";
import { EngineError } from "../engine-error.ts";

/** The exit of a container with an unknown status. */
const UNKNOWN = { status: -1 };

/** ms between two inspections of a container. */
const PACE = 1_000;

/** Consecutive failed inspections after which the engine and its container count as lost. */
const ATTEMPTS = 10;

/**
 * Waits for a container to stop. The `wait` request is open while the container runs, but a proxy that closes idle connections, or an ssh,
 * may end it while the container still runs. For that reason, the container is also inspected. Over a single connection, where `wait` would
 * block all other requests, it is only inspected. Never rejects.
 *
 * @param removed aborted when this process has removed the container, after which its status is unknown
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
          timeout: "none",
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
