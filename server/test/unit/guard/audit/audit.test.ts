import { mkdtemp, readFile, rename, rm, stat, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import type { AuditEntry } from "../../../../src/guard/audit/entry.ts";
import { GuardMetrics } from "../../../../src/guard/audit/metrics.ts";
import { lineOf, openAudit } from "../../../../src/guard/audit/open-audit.ts";
import { refusedConnection } from "../../../../src/guard/audit/refused-connection.ts";
import { Refusal } from "../../../../src/guard/refusal.ts";
import { serveMetrics } from "../../../../src/guard/audit/serve-metrics.ts";

const ENTRY: AuditEntry = {
  time: "2026-11-30T12:00:00.000Z",
  tenant: "a",
  call: "GET /v1.51/images/json",
  decision: "allowed",
  rule: "image.list",
  received: 10,
  sent: 20,
  ms: 1.234,
};

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "guard-audit-"));
  onTestFinished(() => rm(path, { recursive: true }));
  return path;
}

function parts() {
  const messages: string[] = [];
  const printed: string[] = [];
  return {
    messages,
    printed,
    metrics: new GuardMetrics(),
    printLine: (line: string) => void messages.push(line),
    print: (text: string) => void printed.push(text),
  };
}

describe("a line", () => {
  test("is JSON, with the known facts", () =>
    expect(JSON.parse(lineOf({ ...ENTRY, status: 200, about: ["app:v1"], reason: undefined }))).toEqual({
      ...ENTRY,
      status: 200,
      about: ["app:v1"],
      ms: 1.2,
    }));

  test("cannot control a terminal, break into two lines, or change the direction of text", () => {
    const hostile = "a\u001b[2J\u009b2J\n\u2028\u202eb\u200f\ufeff\ud800";
    const line = lineOf({ ...ENTRY, call: hostile });
    expect(line).toMatch(/^[\x20-\x7e]*$/);
    expect((JSON.parse(line) as AuditEntry).call).toBe(hostile);
  });

  test("has a limited length", () => {
    const line = lineOf({
      ...ENTRY,
      call: "x".repeat(1e6),
      reason: "y".repeat(1e6),
      about: Array(1e5).fill("z".repeat(1e4)),
    });
    expect(line.length).toBeLessThan(30_000);
  });
});

test("writes the lines to a file in order, for its owner alone; prints them without a file", async () => {
  const path = join(await folder(), "audit.jsonl");
  const { metrics, printLine, messages, print, printed } = parts();
  {
    await using audit = await openAudit({ auditFile: path }, { metrics, printLine });
    for (let index = 0; index < 2000; index++) audit.write({ ...ENTRY, ms: index });
  }
  const lines = (await readFile(path, "utf8")).trimEnd().split("\n");
  expect(lines.map((line) => (JSON.parse(line) as AuditEntry).ms)).toEqual(Array.from({ length: 2000 }, (_, n) => n));
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  {
    await using audit = await openAudit({ auditFile: path }, { metrics, printLine });
    audit.write(ENTRY);
  }
  expect((await readFile(path, "utf8")).trimEnd().split("\n")).toHaveLength(2001);
  expect(messages).toEqual([]);

  await using onStderr = await openAudit({}, { metrics, printLine, print });
  onStderr.write(ENTRY);
  expect(JSON.parse(printed.join(""))).toMatchObject({ rule: "image.list" });
});

test("reopens the file on SIGHUP, after it was renamed", async () => {
  const path = join(await folder(), "audit.jsonl");
  const { metrics, printLine } = parts();
  {
    await using audit = await openAudit({ auditFile: path }, { metrics, printLine });
    audit.write({ ...ENTRY, rule: "before" });
    await expect.poll(() => readFile(path, "utf8")).toContain("before");
    await rename(path, `${path}.1`);
    process.emit("SIGHUP");
    await expect.poll(() => readFile(path, "utf8").catch(() => "none")).toBe("");
    audit.write({ ...ENTRY, rule: "after" });
  }
  expect(await readFile(`${path}.1`, "utf8")).not.toContain("after");
  expect(await readFile(path, "utf8")).toContain("after");
  expect(process.listenerCount("SIGHUP")).toBe(0);
});

test("reports a full disk once, counts the lost lines, and throws nothing", async () => {
  const { metrics, printLine, messages } = parts();
  {
    await using audit = await openAudit({ auditFile: "/dev/full" }, { metrics, printLine });
    for (let index = 0; index < 3000; index++) audit.write(ENTRY);
  }
  expect(messages).toHaveLength(1);
  expect(messages[0]).toMatch(/audit lines are lost: \/dev\/full: .*ENOSPC/);
  expect(await metrics.text()).toMatch(/^docker_over_ssh_guard_audit_lines_lost_total 3000$/m);
});

test.each(["a folder", "a link"])("rejects %s as a file for audit lines", async (what) => {
  const path = await folder();
  if (what === "a link") await symlink("/dev/null", join(path, "link"));
  const { metrics, printLine } = parts();
  const opened = openAudit({ auditFile: what === "a link" ? join(path, "link") : path }, { metrics, printLine });
  await expect(opened).rejects.toMatchObject({ code: "usage", message: expect.stringContaining("--audit") as string });
});

test("writes a line for a connection beyond the limit, and one more with the number of others", async () => {
  const { metrics, printLine, print, printed } = parts();
  metrics.tenantCame("a");
  const tooMany = new Refusal("quota.connections", "too many open connections", { statusCode: 429 });
  {
    await using audit = await openAudit({}, { metrics, printLine, print });
    for (let index = 0; index < 1000; index++) audit.write(refusedConnection("a", tooMany));
  }
  const line = { tenant: "a", call: "connection", decision: "refused", rule: "quota.connections", status: 429 };
  expect(printed.map((text) => JSON.parse(text) as AuditEntry)).toMatchObject([line, { ...line, count: 999 }]);
  expect(await metrics.text()).toContain('{tenant="a",decision="refused",rule="quota.connections"} 1000');
});

describe("metrics", () => {
  test("count by tenant, decision and rule, and are served at one address", async () => {
    const metrics = new GuardMetrics();
    metrics.tenantCame("a");
    metrics.entry(ENTRY);
    metrics.entry({ ...ENTRY, decision: "refused", rule: "call.unknown" });
    metrics.pushed("a", 7);
    metrics.connectionRefused("a");
    let now = 0;
    const build = metrics.build("a", () => now);
    now = 2500;
    build[Symbol.dispose]();
    await using served = await serveMetrics({ host: "127.0.0.1", port: 0 }, metrics);
    const text = await (await fetch(served.url)).text();
    const ours = text.split("\n").filter((line) => line.startsWith("docker_over_ssh_guard"));
    expect(ours).toEqual([
      'docker_over_ssh_guard_requests_total{tenant="a",decision="allowed",rule="image.list"} 1',
      'docker_over_ssh_guard_requests_total{tenant="a",decision="refused",rule="call.unknown"} 1',
      'docker_over_ssh_guard_received_bytes_total{tenant="a"} 20',
      'docker_over_ssh_guard_sent_bytes_total{tenant="a"} 40',
      'docker_over_ssh_guard_connections_refused_total{tenant="a"} 1',
      'docker_over_ssh_guard_build_seconds_total{tenant="a"} 2.5',
      'docker_over_ssh_guard_pushed_bytes_total{tenant="a"} 7',
      'docker_over_ssh_guard_builds{tenant="a"} 0',
      "docker_over_ssh_guard_tenants 1",
      "docker_over_ssh_guard_audit_lines_lost_total 0",
    ]);
    expect((await fetch(new URL("/", served.url))).status).toBe(404);
    expect((await fetch(served.url, { method: "POST" })).status).toBe(404);
  });

  test("forget a removed tenant, and its later requests", async () => {
    const metrics = new GuardMetrics();
    metrics.tenantCame("gone");
    metrics.entry({ ...ENTRY, tenant: "gone" });
    const build = metrics.build("gone");
    metrics.tenantWent("gone");
    metrics.entry({ ...ENTRY, tenant: "gone" });
    metrics.pushed("gone", 1);
    metrics.connectionRefused("gone");
    build[Symbol.dispose]();
    const text = await metrics.text();
    expect(text).not.toContain("gone");
    expect(text).toMatch(/^docker_over_ssh_guard_tenants 0$/m);
  });

  test("have no label with arbitrary text", async () => {
    const metrics = new GuardMetrics();
    metrics.tenantCame("a");
    for (let index = 0; index < 1000; index++) metrics.entry({ ...ENTRY, rule: `rule.${index}` });
    metrics.entry({ ...ENTRY, rule: 'no"rule\n' });
    const lines = (await metrics.text()).split("\n").filter((line) => line.includes("requests_total{"));
    expect(lines).toHaveLength(501);
    expect(lines).toContain('docker_over_ssh_guard_requests_total{tenant="a",decision="allowed",rule="other"} 501');
  });
});
