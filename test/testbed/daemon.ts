import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { answers } from "./engine-api.ts";
import type { EngineKind } from "./engine-packages.ts";
import type { Machine } from "./machine.ts";
import type { Bridge } from "./network.ts";
import { until } from "./wait.ts";

/** What another process needs in order to talk to the engine and to stop and start it: plain data. */
export interface EngineDescription {
  kind: EngineKind;
  /** Of the engine, as it says itself: `20.10.24+dfsg1`. */
  version: string;
  socket: string;
  /** A PATH on which the engine's own programs, and its docker CLI, come first. */
  path: string;
  /** For `DOCKER_CONFIG`: the user's own contexts and passwords stay out of the tests. */
  configFolder: string;
  /** Absent when the engine is not ours. */
  daemon?: DaemonOptions;
}

export interface DaemonOptions {
  machine: Machine;
  bridge: Bridge;
  /** The control group above those of its containers. */
  cgroup: string;
}

/** Holds the number that the engine's process has within its machine. */
export function pidFile({ folder }: Machine): string {
  return join(folder, "engine.pid");
}

/** Waits until the engine answers; fails with the end of its log when it ends instead. */
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
