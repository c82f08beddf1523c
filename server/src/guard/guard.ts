import { abortable, Failure, messageOf } from "docker-over-ssh/builds";
import { onHangUp } from "../on-hang-up.ts";
import { GuardMetrics } from "./audit/metrics.ts";
import { openAudit } from "./audit/open-audit.ts";
import { serveMetrics } from "./audit/serve-metrics.ts";
import { checkMessage } from "./buildkit/check-message.ts";
import { judge } from "./calls/judge.ts";
import { readGuardConfig } from "./config/read-config.ts";
import { openDryRun } from "./dry-run/open-dry-run.ts";
import type { EngineApi } from "./engine/engine-api.ts";
import { openFront } from "./http/front.ts";
import type { Ledger } from "./ledger/ledger.ts";
import { openLedger } from "./ledger/open-ledger.ts";
import { countedLimits } from "./limits/counted-limits.ts";
import { createLimits } from "./limits/create-limits.ts";
import { openMode, type Mode } from "./open-mode.ts";
import { Seats } from "./seats/seats.ts";
import type { GuardSettings } from "./settings.ts";
import { refusedConnection } from "./audit/refused-connection.ts";
import { bindSocket } from "./sockets/bind-socket.ts";
import { createThrottle } from "./sockets/throttle.ts";
import { followSources } from "./tenants/follow-sources.ts";
import { openSources } from "./tenants/open-sources.ts";
import { findApiServer } from "./tenants/pod-directory.ts";
import type { TenantSource } from "./tenants/tenant-source.ts";

/** The surroundings of the guard. */
export interface Surroundings {
  env: NodeJS.ProcessEnv;
  /** Stops the guard. */
  signal: AbortSignal;
  /** Prints a line for the operator. */
  tell: (line: string) => void;
}

/** ms in which a build that is ended removes what it has left */
const END_OF_BUILDS = 60_000;

/**
 * Serves the sockets of tenants until `signal` is aborted. Sources say which tenants there are; each gets a seat, with a socket whose requests are read,
 * checked and made anew for the engine. What tenants have stays when the guard stops; what pods have goes with them. Rejects with a Failure where the
 * guard cannot start.
 */
export async function guard(settings: GuardSettings, { env, signal, tell }: Surroundings): Promise<void> {
  using _alive = staysAlive();
  let sources: readonly TenantSource[] = [];
  using _reload = onHangUp(async () => await reload(sources), tell);
  const metrics = new GuardMetrics();
  await using audit = await openAudit(settings, { metrics, tell });
  await using ledger = await openLedger(settings.data);
  await using limits = countedLimits(createLimits(ledger), metrics);
  await using mode = await openMode(settings, { env, signal, ledger, limits, audit, tell });
  await using served = settings.metrics && (await serveMetrics(settings.metrics, metrics));
  if (served) tell(`metrics are at ${served.url}`);
  const dryRunEngine = settings.isDryRun ? engineOf(mode) : undefined;
  if (dryRunEngine)
    tell("--dry-run: NOTHING IS REFUSED: tenants reach the engine as root does; audit lines say what would be refused");

  let failures: unknown[] | undefined = [];
  await using seats = new Seats({
    openFront(tenant) {
      if (dryRunEngine) return openDryRun(tenant, { engine: dryRunEngine, audit, judge, checkMessage, tell });
      const throttle = createThrottle(() => tenant().quotas);
      return openFront(tenant, { backend: mode.backend, audit, throttle, onProblem: tell });
    },
    bind: async (seated, onConnection, tenant) =>
      await bindSocket(seated, onConnection, {
        onProblem: tell,
        signal,
        quotas: () => tenant().quotas,
        onRefused(refusal) {
          metrics.connectionRefused(seated.tenant.id);
          audit.write(refusedConnection(seated.tenant.id, refusal));
        },
      }),
    async prepare(tenant, mayReturn) {
      await ledger.admit(tenant.id, mayReturn);
      metrics.tenantCame(tenant.id);
      const cgroupParent = await mode.cgroups.prepare(tenant);
      return { ...tenant, resources: { ...tenant.resources, cgroupParent } };
    },
    idle: async (tenant) => await limits.idle(tenant, END_OF_BUILDS),
    async left(tenant) {
      metrics.tenantWent(tenant);
      await mode.cgroups.remove(tenant);
    },
    async clear(tenant) {
      await mode.backend.removeTenant(tenant);
      await ledger.remove(tenant);
      limits.forget(tenant);
    },
    onFailure(tenant, error) {
      failures?.push(error);
      tell(`tenant ${tenant}: ${messageOf(error)}`);
    },
  });
  const { defaults, sources: wanted } = settings;
  sources = openSources(wanted, {
    defaults,
    readConfig: readGuardConfig,
    engine: mode.engine,
    server: await findApiServer(env),
  });
  using following = await followSources(
    sources,
    {
      onCame: (seated, mayReturn) => seats.seat(seated, mayReturn),
      onWent: (tenant, isForGood) => seats.leave(tenant, isForGood),
      onProblem: tell,
    },
    signal,
  );
  await seats.settled();
  // Tenants that the operator names are there from the start, or the guard is not.
  if (failures.length > 0 && sources.every(({ tenantsReturn }) => tenantsReturn)) throw failures[0];
  failures = undefined;
  clearGone(seats, ledger);
  await mode.cgroups.sweep(new Set(seats.tenants));
  tell(
    `the guard is ready: ${seats.sockets.map((socket) => `unix://${socket}`).join(", ") || "no tenant is there yet"}`,
  );
  try {
    await abortable(following.ended, ledger.lost);
  } catch (error) {
    throw ledger.lost.aborted ? takenOver(settings.data) : error;
  }
}

/** A dry run passes requests on to an engine, where there is one. */
function engineOf({ engine }: Mode): EngineApi {
  if (engine !== undefined) return engine;
  throw new Failure(
    "usage",
    "--dry-run is for --mode passthrough: with buildah there is no engine to pass requests on to",
    {
      hint: "Leave --dry-run out.",
    },
  );
}

/** Two guards would put their sockets in each other's place. */
function takenOver(data: string): Failure {
  return new Failure("refused", `another guard has taken ${data} over, because this one was stopped for long`, {
    expected: "one guard for each folder",
    hint: "The other one serves the tenants now; this one has ended.",
  });
}

/** Removes what tenants have left that have gone for good while no guard was there. */
function clearGone(seats: Seats, ledger: Ledger): void {
  const there = new Set(seats.tenants);
  for (const tenant of ledger.tenants()) {
    if (!there.has(tenant) && !ledger.read(tenant).mayReturn) seats.leave(tenant, true);
  }
}

/** A guard without a socket waits for one: nothing else would keep its process. */
function staysAlive(): Disposable {
  const timer = setInterval(() => {}, 2 ** 30);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** Reads the files of tenants again. */
async function reload(sources: readonly TenantSource[]): Promise<void> {
  for (const source of sources) await source.reload?.();
}
