import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { answers } from "./engine-api.ts";
import type { EngineKind } from "./engine-packages.ts";
import type { Machine } from "./machine.ts";
import type { Bridge } from "./network.ts";
import { until } from "./wait.ts";

/** The data that another process needs to connect to the engine, and to stop and start it. */
export interface EngineDescription {
  kind: EngineKind;
  /** The version that the engine reports, e.g. `20.10.24+dfsg1`. */
  version: string;
  socket: string;
  /** A PATH that begins with the engine's own programs and its docker CLI. */
  path: string;
  /** The value of `DOCKER_CONFIG`, which keeps the user's contexts and passwords out of the tests. */
  configFolder: string;
  /** Absent for an engine that the test bed has not started. */
  daemon?: DaemonOptions;
}

export interface DaemonOptions {
  machine: Machine;
  bridge: Bridge;
  /** The parent control group of its containers. */
  cgroup: string;
}

/** Returns the file with the engine's process ID within its machine. */
export function pidFile({ folder }: Machine): string {
  return join(folder, "engine.pid");
}

/** Waits until the engine answers. If it ends instead, throws an error with the end of its log. */
export async function untilAnswers(
  { kind, socket }: EngineDescription,
  { log, ended }: { log: string; ended: () => string | undefined },
): Promise<void> {
  const ready = async () => failIf(ended(), log) || (await answers(socket));
  await until(`the engine ${kind} answers`, ready, { explain: () => endOf(log) });
}

export function failIf(ended: string | undefined, log: string): false {
  if (ended) throw new Error(`${ended}: ${endOf(log)}`);
  return false;
}

export function endOf(log: string): string {
  return existsSync(log) ? `The end of ${log}:\n${readFileSync(log, "utf8").slice(-2000)}` : "";
}
