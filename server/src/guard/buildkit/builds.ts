import { EventEmitter, once } from "node:events";
import { createClient, type Client } from "@connectrpc/connect";
import type { GrpcConnection } from "docker-over-ssh/builds";
import { Refusal } from "../refusal.ts";
import { makesImage } from "./exporters.ts";
import { inspectImage } from "../images/engine-images.ts";
import { ownBases, type OwnBases } from "./own-bases.ts";
import { sourcePolicy } from "./source-policy.ts";
import { supportOf, type EngineSupport } from "./engine-support.ts";
import { withOwnAttributes } from "./own-attributes.ts";
import { Control } from "./gen/control_pb.ts";
import { LLBBridge, type Result } from "./gen/gateway_pb.ts";
import type { BuildkitDependencies } from "./dependencies.ts";
import type { Caller } from "../caller.ts";
import type { SolvePlan } from "./solve-plan.ts";

/** A build that the engine runs for a tenant. */
export interface RunningBuild {
  plan: SolvePlan;
  support: EngineSupport;
  own: OwnBases;
  /** Whether the host has an image of a name */
  isOnHost: (name: string) => Promise<boolean>;
  cgroupParent: string | undefined;
  /** The engine's IDs of the sessions that it may read files of */
  sessions: Set<string>;
  /** Ends the build with a reason, which its client gets */
  end: (reason: Refusal) => void;
  gateway: Client<typeof LLBBridge>;
  /** Aborted when the tenant is removed. Any other end of the build ends `Control.Solve`, and with it the engine's gateway. */
  signal: AbortSignal;
  /** The frontend's answers that have passed the checks */
  results: Result[];
  resultBytes: number;
  /** Settles when the last request to the frontend has ended */
  lastSolve: Promise<unknown>;
  /** Settles when the client has read all files that it has requested */
  lastRead: Promise<unknown>;
}

/** The builds of all tenants, by the tenant's refs. */
export interface Builds {
  /** Runs a build to its end. Returns the exporter's answer, with the engine's names. */
  run(
    caller: Caller,
    plan: SolvePlan,
    connection: GrpcConnection,
    signal: AbortSignal,
  ): Promise<Record<string, string>>;
  /** Reports that a build will not run. */
  refuse(tenant: string, ref: string): void;
  /** Ends the builds that may read files of a session, given by the engine's ID. */
  endThoseOf(session: string, reason: Refusal): void;
  /**
   * Finds a build. Waits for one that is about to start, because clients request its status at the same time. Returns undefined if the build is over or was
   * refused.
   */
  find(tenant: string, ref: string, signal: AbortSignal): Promise<RunningBuild | undefined>;
}

/** ms by which a request for the status of a build may precede the build. BuildKit waits as long. */
const START_TIMEOUT = 5_000;
/** Finished builds that are remembered, of all tenants together */
const MAX_OVER = 1_000;

export function createBuilds(dependencies: BuildkitDependencies): Builds {
  const running = new Map<string, RunningBuild>();
  const over = new Set<string>();
  const changes = new EventEmitter().setMaxListeners(0);
  const keyOf = (tenant: string, ref: string): string => `${tenant}\n${ref}`;

  function end(key: string): void {
    running.delete(key);
    over.add(key);
    const [oldest] = over;
    if (over.size > MAX_OVER && oldest !== undefined) over.delete(oldest);
    changes.emit(key);
  }

  async function find(tenant: string, ref: string, signal: AbortSignal): Promise<RunningBuild | undefined> {
    const key = keyOf(tenant, ref);
    if (!running.has(key) && !over.has(key)) {
      const stop = AbortSignal.any([signal, AbortSignal.timeout(START_TIMEOUT)]);
      try {
        await once(changes, key, { signal: stop });
      } catch {
        signal.throwIfAborted();
        throw new Refusal("build.unknown", `no such build: ${ref}`, { statusCode: 404 });
      }
    }
    return running.get(key);
  }

  async function run(
    caller: Caller,
    plan: SolvePlan,
    connection: GrpcConnection,
    stopped: AbortSignal,
  ): Promise<Record<string, string>> {
    const { tenant } = caller;
    const key = keyOf(tenant.id, plan.ref);
    if (running.has(key)) {
      throw new Refusal("build.twice", `a build with the ID ${plan.ref} is running already`, { statusCode: 409 });
    }
    const ending = new AbortController();
    let signal = stopped;
    try {
      await using slot = await dependencies.limits.startBuild(tenant);
      signal = AbortSignal.any([stopped, caller.signal, slot.signal, ending.signal]);
      // It ends before the slot becomes free, so the next build in the slot finds the records.
      using _records = dependencies.cacheRecords.building(tenant.id, connection);
      const build = await prepare(dependencies, caller, plan, connection, (reason) => ending.abort(reason));
      running.set(key, build);
      over.delete(key);
      changes.emit(key);
      const { exporterResponse } = await createClient(Control, connection.transport).solve(
        solveRequest(dependencies, caller, build),
        { signal },
      );
      await takeImage(dependencies, caller, plan, exporterResponse);
      return exporterResponse;
    } catch (error) {
      // Reports the limit that ended the build, instead of "canceled".
      throw signal.aborted && signal.reason instanceof Refusal ? signal.reason : error;
    } finally {
      end(key);
    }
  }

  return {
    run,
    find,
    refuse: (tenant, ref) => end(keyOf(tenant, ref)),
    endThoseOf(session, reason) {
      for (const build of running.values()) if (build.sessions.has(session)) build.end(reason);
    },
  };
}

async function prepare(
  { engine, own, cgroupParentOf }: BuildkitDependencies,
  { tenant, signal }: Caller,
  plan: SolvePlan,
  connection: GrpcConnection,
  end: RunningBuild["end"],
): Promise<RunningBuild> {
  const [{ version }, images, cgroupParent] = await Promise.all([
    engine.version(signal),
    own.list(tenant.id, signal),
    cgroupParentOf(tenant),
  ]);
  return {
    plan,
    support: supportOf(version),
    own: ownBases(tenant.id, images),
    isOnHost: async (name) => (await inspectImage(engine, name, { signal })) !== undefined,
    cgroupParent,
    sessions: new Set([
      ...(plan.engineSession === undefined ? [] : [plan.engineSession]),
      ...sessionsOf(plan.attributes),
    ]),
    end,
    gateway: createClient(LLBBridge, connection.transport),
    signal,
    results: [],
    resultBytes: 0,
    lastSolve: Promise.resolve(),
    lastRead: Promise.resolve(),
  };
}

/** Returns the sessions that attributes name, in addition to that of the build. */
export function sessionsOf(attributes: Readonly<Record<string, string>>): string[] {
  return Object.entries(attributes).flatMap(([key, session]) => (key.startsWith("local-sessionid:") ? [session] : []));
}

type SolveInit = Parameters<Client<typeof Control>["solve"]>[0];

/** Returns the request to the engine. It contains only values that were parsed and checked. */
function solveRequest({ ids }: BuildkitDependencies, { tenant }: Caller, build: RunningBuild): SolveInit {
  const { plan, support, own, cgroupParent } = build;
  const [exporter] = plan.exporters;
  return {
    ref: plan.engineRef,
    session: plan.engineSession ?? "",
    frontend: "",
    frontendAttrs: withOwnAttributes(plan.attributes, { tenant, ids, cgroupParent }),
    exporters: plan.exporters,
    ...(exporter !== undefined && {
      exporterDeprecated: exporter.type,
      exporterAttrsDeprecated: exporter.attrs,
    }),
    // Always set: without it, dockerd 27.4 to 28.1 crashes with a nil dereference.
    cache: { exports: plan.cacheExports },
    internal: plan.isInternal,
    ...(support.hasSourcePolicies && { sourcePolicy: sourcePolicy(tenant.id, tenant.policy, own) }),
  };
}

/** Records that the image is the tenant's. In both kinds of image store, its ID is the digest that the exporter returns. */
async function takeImage(
  { own }: BuildkitDependencies,
  { tenant, signal }: Caller,
  { exporters }: SolvePlan,
  response: Readonly<Record<string, string>>,
): Promise<void> {
  if (!exporters.some(makesImage)) return;
  const id = response["containerimage.digest"] ?? response["containerimage.config.digest"];
  if (id !== undefined) await own.take(tenant, id, signal);
}
