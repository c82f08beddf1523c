import { Counter, Gauge, Registry } from "prom-client";
import { processMetrics } from "../../api/metrics/process-metrics.ts";
import type { AuditEntry } from "./entry.ts";

const PREFIX = "docker_over_ssh_guard";
/** The form of rules. Anything else is a bug, and gets no label. */
const RULE = /^[a-z0-9-]+(?:\.[a-z0-9-]+)*$/;
/** Maximum number of rules. There are some hundred; more would be a bug. */
const MAX_RULES = 500;

/** Metrics for Prometheus. The labels of a tenant are removed with it. Times are in seconds. */
export class GuardMetrics {
  readonly #registry = new Registry();
  readonly #rules = new Set<string>();
  readonly #labels = new Map<string, Map<string, { decision: string; rule: string }>>();
  readonly #requests = this.#counter("requests_total", "Requests and gRPC calls, by decision and rule", [
    "tenant",
    "decision",
    "rule",
  ]);
  readonly #received = this.#counter("received_bytes_total", "Bytes from a tenant", ["tenant"]);
  readonly #sent = this.#counter("sent_bytes_total", "Bytes to a tenant", ["tenant"]);
  readonly #refused = this.#counter(
    "connections_refused_total",
    "Connections that were closed because too many were open",
    ["tenant"],
  );
  readonly #buildSeconds = this.#counter("build_seconds_total", "Total duration of completed builds", ["tenant"]);
  readonly #pushed = this.#counter("pushed_bytes_total", "Bytes of pushes", ["tenant"]);
  readonly #building = new Gauge({
    name: `${PREFIX}_builds`,
    help: "Builds that run",
    labelNames: ["tenant"],
    registers: [this.#registry],
  });
  readonly #tenants = new Gauge({
    name: `${PREFIX}_tenants`,
    help: "Tenants that are served, or for which the guard retries",
    registers: [this.#registry],
  });
  readonly #lost = new Counter({
    name: `${PREFIX}_audit_lines_lost_total`,
    help: "Audit lines that could not be written",
    registers: [this.#registry],
  });

  readonly contentType = this.#registry.contentType;

  /** Adds a tenant that is now served. */
  tenantCame(tenant: string): void {
    if (this.#labels.has(tenant)) return;
    this.#labels.set(tenant, new Map());
    for (const metric of this.#ofTenants) metric.inc({ tenant }, 0);
    this.#tenants.set(this.#labels.size);
  }

  /** Removes the labels of a tenant: their number would grow with every pod. */
  tenantWent(tenant: string): void {
    for (const { decision, rule } of this.#labels.get(tenant)?.values() ?? []) {
      this.#requests.remove({ tenant, decision, rule });
    }
    for (const metric of this.#ofTenants) metric.remove({ tenant });
    this.#labels.delete(tenant);
    this.#tenants.set(this.#labels.size);
  }

  /** Counts an entry of the audit. Entries of removed tenants are ignored. */
  entry({ tenant, decision, rule: given, received, sent }: Omit<AuditEntry, "time">): void {
    const labels = this.#labels.get(tenant);
    if (labels === undefined) return;
    const rule = this.#known(given);
    labels.set(`${decision} ${rule}`, { decision, rule });
    this.#requests.inc({ tenant, decision, rule });
    this.#received.inc({ tenant }, received);
    this.#sent.inc({ tenant }, sent);
  }

  connectionRefused(tenant: string): void {
    if (this.#labels.has(tenant)) this.#refused.inc({ tenant });
  }

  /** Counts a running build. Disposing records its end. */
  build(tenant: string, now: () => number = () => performance.now()): Disposable {
    const began = now();
    if (this.#labels.has(tenant)) this.#building.inc({ tenant });
    return {
      [Symbol.dispose]: () => {
        if (!this.#labels.has(tenant)) return;
        this.#building.dec({ tenant });
        this.#buildSeconds.inc({ tenant }, Math.max(0, now() - began) / 1000);
      },
    };
  }

  pushed(tenant: string, bytes: number): void {
    if (this.#labels.has(tenant)) this.#pushed.inc({ tenant }, bytes);
  }

  lineLost(): void {
    this.#lost.inc();
  }

  /** Returns all metrics in Prometheus' text format. */
  async text(): Promise<string> {
    return `${await this.#registry.metrics()}\n${await processMetrics().metrics()}`;
  }

  get #ofTenants() {
    return [this.#received, this.#sent, this.#refused, this.#buildSeconds, this.#pushed, this.#building];
  }

  #known(rule: string): string {
    if (!this.#rules.has(rule) && (this.#rules.size >= MAX_RULES || !RULE.test(rule))) return "other";
    this.#rules.add(rule);
    return rule;
  }

  #counter<Label extends string>(name: string, help: string, labelNames: Label[]): Counter<Label> {
    return new Counter({ name: `${PREFIX}_${name}`, help, labelNames, registers: [this.#registry] });
  }
}
