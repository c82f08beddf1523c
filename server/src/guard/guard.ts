import { abortable, Failure, messageOf } from "docker-over-ssh/builds";
import { onHangUp } from "../on-hang-up.ts";
import type { AuditLog } from "./audit/entry.ts";
import { GuardMetrics } from "./audit/metrics.ts";
import { openAudit } from "./audit/open-audit.ts";
import { refusedConnection } from "./audit/refused-connection.ts";
import { serveMetrics } from "./audit/serve-metrics.ts";
import { checkMessage } from "./buildkit/check-message.ts";
import { judge } from "./calls/judge.ts";
import { readGuardConfig } from "./config/read-config.ts";
import { openDryRun } from "./dry-run/open-dry-run.ts";
import { Endpoints, type EndpointActions } from "./endpoints/endpoints.ts";
import type { EngineApi } from "./engine/engine-api.ts";
import { openFront } from "./http/front.ts";
import type { Ledger } from "./ledger/ledger.ts";
import { openLedger } from "./ledger/open-ledger.ts";
import { countedLimits } from "./limits/counted-limits.ts";
import { createLimits } from "./limits/create-limits.ts";
import type { Limits } from "./limits/limits.ts";
import { openMode, type Mode } from "./open-mode.ts";
import type { GuardSettings } from "./settings.ts";
import { bindSocket } from "./sockets/bind-socket.ts";
import { createThrottle } from "./sockets/throttle.ts";
import { followSources } from "./tenants/follow-sources.ts";
import { openSources } from "./tenants/open-sources.ts";
import { findApiServer } from "./tenants/pod-directory.ts";
import type { TenantSource } from "./tenants/tenant-source.ts";

/** The environment of the guard. */
export interface GuardDependencies {
  env: NodeJS.ProcessEnv;
  /** Stops the guard. */
  signal: AbortSignal;
  /** Prints a line for the operator. */
  printLine: (line: string) => void;
}

/** Maximum ms in which an ended build cleans up */
const CLEANUP_TIMEOUT = 60_000;

/**
 * Serves the sockets of tenants until `signal` is aborted. Sources name the tenants. Each tenant gets an endpoint,
 * whose requests are read, checked and rebuilt for the engine. When the guard stops, the data of tenants stays; the
 * data of pods is removed with them. Rejects with a Failure if the guard cannot start.
 */
export async function guard(settings: GuardSettings, { env, signal, printLine }: GuardDependencies): Promise<void> {
  using _alive = keepAlive();
  let sources: readonly TenantSource[] = [];
  // Comes first, because SIGHUP ends a process without a handler.
  using _reload = onHangUp(async () => await reload(sources), printLine);
  const metrics = new GuardMetrics();
  await using audit = await openAudit(settings, { metrics, printLine });
  await using ledger = await openLedger(settings.data);
  await using limits = countedLimits(createLimits(ledger), metrics);
  await using mode = await openMode(settings, { env, signal, ledger, limits, audit, printLine });
  await using metricsServer = settings.metrics && (await serveMetrics(settings.metrics, metrics));
  if (metricsServer) printLine(`metrics are at ${metricsServer.url}`);
  const dryRunEngine = settings.isDryRun ? engineOf(mode) : undefined;
  if (dryRunEngine)
    printLine(
      "--dry-run: NOTHING IS REFUSED: tenants reach the engine as root does; audit lines show what would be refused",
    );

  let firstFailure: unknown;
  const onFailure = (tenant: string, error: unknown): void => {
    firstFailure ??= error;
    printLine(`tenant ${tenant}: ${messageOf(error)}`);
  };
  await using endpoints = new Endpoints(
    endpointActions({ mode, dryRunEngine, ledger, limits, metrics, audit, signal, printLine, onFailure }),
  );
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
      onCame: (endpoint, mayReturn) => endpoints.open(endpoint, mayReturn),
      onWent: (tenant, removesData) => endpoints.close(tenant, removesData),
      onProblem: printLine,
    },
    signal,
  );
  if (wanted.bindLocal?.policy?.bases?.includes("*"))
    printLine(
      "--bind-local is for trying the guard out: the tenant local may use any image as a base, including images of this engine; --allow-base restricts the bases",
    );
  await endpoints.settled();
  // If the operator names all tenants, the guard does not start without one of them.
  if (firstFailure !== undefined && sources.every(({ tenantsReturn }) => tenantsReturn)) throw firstFailure;
  removeAbsent(endpoints, ledger);
  await mode.cgroups.sweep(new Set(endpoints.tenants));
  printLine(
    `the guard is ready: ${endpoints.sockets.map((socket) => `unix://${socket}`).join(", ") || "no tenant yet"}`,
  );
  try {
    await abortable(following.ended, ledger.lost);
  } catch (error) {
    throw ledger.lost.aborted ? takenOver(settings.data) : error;
  }
}

interface EndpointDependencies
  extends Pick<GuardDependencies, "signal" | "printLine">, Pick<EndpointActions, "onFailure"> {
  mode: Mode;
  dryRunEngine: EngineApi | undefined;
  ledger: Ledger;
  limits: Limits;
  metrics: GuardMetrics;
  audit: AuditLog;
}

/** The actions when a tenant appears, connects, and is removed. */
function endpointActions(dependencies: EndpointDependencies): EndpointActions {
  const { mode, dryRunEngine, ledger, limits, metrics, audit, signal, printLine, onFailure } = dependencies;
  return {
    openHandler(tenant) {
      if (dryRunEngine) return openDryRun(tenant, { engine: dryRunEngine, audit, judge, checkMessage, printLine });
      const throttle = createThrottle(() => tenant().quotas);
      return openFront(tenant, { backend: mode.backend, audit, throttle, onProblem: printLine });
    },
    bind: async (endpoint, onConnection, tenant) =>
      await bindSocket(endpoint, onConnection, {
        onProblem: printLine,
        signal,
        quotas: () => tenant().quotas,
        onRefused(refusal) {
          metrics.connectionRefused(endpoint.tenant.id);
          audit.write(refusedConnection(endpoint.tenant.id, refusal));
        },
      }),
    async prepare(tenant, mayReturn) {
      await ledger.admit(tenant.id, mayReturn);
      metrics.tenantCame(tenant.id);
      const cgroupParent = await mode.cgroups.prepare(tenant);
      return { ...tenant, resources: { ...tenant.resources, cgroupParent } };
    },
    idle: async (tenant) => await limits.idle(tenant, CLEANUP_TIMEOUT),
    async left(tenant) {
      metrics.tenantWent(tenant);
      await mode.cgroups.remove(tenant);
    },
    async clear(tenant) {
      await mode.backend.removeTenant(tenant);
      await ledger.remove(tenant);
      limits.forget(tenant);
    },
    onFailure,
  };
}

/** Returns the engine, which a dry run needs because it passes requests on. */
function engineOf({ engine }: Mode): EngineApi {
  if (engine !== undefined) return engine;
  throw new Failure(
    "usage",
    "--dry-run needs --mode passthrough, because buildah has no engine to which requests can be passed on",
    {
      hint: "Omit --dry-run.",
    },
  );
}

/** Two guards with the same folder would replace each other's sockets. */
function takenOver(data: string): Failure {
  return new Failure("refused", `another guard has taken over ${data}, because this one was stopped for a long time`, {
    expected: "one guard for each folder",
    hint: "The other guard serves the tenants now; this one has ended.",
  });
}

/** Removes the data of pods that were removed while no guard was running. */
function removeAbsent(endpoints: Endpoints, ledger: Ledger): void {
  const present = new Set(endpoints.tenants);
  for (const tenant of ledger.tenants()) {
    if (!present.has(tenant) && !ledger.read(tenant).mayReturn) endpoints.close(tenant, true);
  }
}

/** Keeps the process running while the guard waits for its first socket. */
function keepAlive(): Disposable {
  const timer = setInterval(() => {}, 2 ** 30);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** Reads the files of tenants again. */
async function reload(sources: readonly TenantSource[]): Promise<void> {
  for (const source of sources) await source.reload?.();
}
