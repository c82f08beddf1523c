import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "docker-over-ssh/builds";
import { openBuildah } from "./buildah/open-buildah.ts";
import type { AuditLog } from "./audit/entry.ts";
import type { Backend } from "./backend.ts";
import { engineCgroupDriver, type CgroupDriver } from "./cgroups/cgroup-driver.ts";
import { createCgroups, type Cgroups } from "./cgroups/cgroups.ts";
import { EngineApi } from "./engine/engine-api.ts";
import type { Ledger } from "./ledger/ledger.ts";
import type { Limits } from "./limits/limits.ts";
import { openPassthrough } from "./passthrough/open-passthrough.ts";
import type { GuardSettings } from "./settings.ts";

/** ms between the first two attempts to reach the engine; each attempt doubles it */
const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 10_000;

export interface ModeDependencies {
  env: NodeJS.ProcessEnv;
  signal: AbortSignal;
  ledger: Ledger;
  limits: Limits;
  audit: AuditLog;
  /** For the operator */
  printLine: (line: string) => void;
}

/** The service behind the sockets, selected by the mode. Disposing closes it, and keeps all data of tenants. */
export interface Mode extends AsyncDisposable {
  backend: Backend;
  cgroups: Cgroups;
  /** Undefined with buildah */
  engine: EngineApi | undefined;
}

/** Opens the backend that the settings select. */
export async function openMode(settings: GuardSettings, dependencies: ModeDependencies): Promise<Mode> {
  return settings.mode === "buildah"
    ? await withBuildah(settings, dependencies)
    : await withEngine(settings, dependencies);
}

async function withEngine({ engine: host, data }: GuardSettings, dependencies: ModeDependencies): Promise<Mode> {
  const engine = await EngineApi.prepare(host, dependencies.env);
  try {
    await untilReached(engine, dependencies);
    const backend = await openPassthrough({ ...dependencies, engine, data });
    return {
      backend,
      engine,
      cgroups: createCgroups({ driver: async () => await engineCgroupDriver(engine, dependencies.signal), data }),
      async [Symbol.asyncDispose]() {
        await backend[Symbol.asyncDispose]();
        await engine[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await engine[Symbol.asyncDispose]();
    throw error;
  }
}

/** Waits for an engine that starts later than its guard, for instance when a machine boots. */
async function untilReached(
  engine: EngineApi,
  { signal, printLine }: Pick<ModeDependencies, "signal" | "printLine">,
): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await engine.version(signal);
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (tries === 0) printLine(`${messageOf(error)}. The guard retries until it answers.`);
      await sleep(Math.min(FIRST_PAUSE * 2 ** tries, LONGEST_PAUSE), undefined, { signal });
    }
  }
}

/** The guard itself starts steps, in any cgroup that it can write to. */
const BY_PATH: CgroupDriver = { name: "cgroupfs" };

async function withBuildah(
  settings: GuardSettings,
  { limits, ledger, env, printLine }: ModeDependencies,
): Promise<Mode> {
  const backend = await openBuildah(settings, {
    limits,
    ledger,
    env,
    tell: printLine,
    cgroupParentOf: async ({ resources }) => resources.cgroupParent,
  });
  return {
    backend,
    engine: undefined,
    cgroups: createCgroups({ driver: async () => BY_PATH, data: settings.data }),
    [Symbol.asyncDispose]: async () => await backend[Symbol.asyncDispose](),
  };
}
