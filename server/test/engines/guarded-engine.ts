import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { bed } from "../../../test/engines/bed.ts";
import { BASE, importBase } from "../../../test/testbed/build-base.ts";
import type { Engine } from "../../../test/testbed/engine.ts";
import { LIMITED, useUpMinutes } from "./guard-limits-scene.ts";
import { startGuard, type GuardProcess } from "../fixtures/guard/guard-process.ts";
import { newestFirst } from "../fixtures/guard/newest-first.ts";
import { removeCgroups } from "../fixtures/guard/processes.ts";
import { tenantCli, type TenantCli } from "../fixtures/guard/tenant-cli.ts";

/** An engine with a guard for some tenants, and with images of the host. */
export interface Guarded extends AsyncDisposable {
  engine: Engine;
  guard: GuardProcess;
  folder: string;
  /** --audit */
  auditFile: string;
  a: TenantCli;
  b: TenantCli;
  /** Two tenants that share a cache; the first has a low limit of the context */
  c: TenantCli;
  d: TenantCli;
  /** The CLI 20.10 of tenant a */
  oldest: TenantCli;
  cli: (tenant: string, isOldest?: boolean) => Promise<TenantCli>;
  socket: (tenant: string) => string;
}

const TENANTS = { a: "", b: "", c: ",share-cache,max-context=1m", d: ",share-cache", ...LIMITED };

/** @param registry a registry to which tenants may push @param source the address prefix that builds may fetch from */
export async function guarded(
  engine: Engine,
  { registry, source }: { registry: string; source: string },
): Promise<Guarded> {
  const folder = mkdtempSync(join(tmpdir(), "dos-guard-"));
  await importBase(engine);
  await engine.dockerWithInput([Buffer.alloc(1024)], ["import", "-", "host-secret:v1"]);
  const socket = (tenant: string): string => join(folder, `${tenant}.sock`);
  const tenants = Object.entries(TENANTS).flatMap(([name, terms]) => [
    "--tenant",
    `name=${name},socket=${socket(name)}${terms}`,
  ]);
  const allowed = ["--allow-base", BASE, "--allow-push", `${registry}/*`, "--allow-source", source];
  useUpMinutes(join(folder, "guard-data"));
  const auditFile = join(folder, "audit.jsonl");
  const watched = ["--audit", auditFile, "--metrics", "0"];
  const guard = await startGuard(folder, ["-H", engine.host, ...tenants, ...allowed, ...watched], bed.env);
  const cli = async (tenant: string, isOldest = false) =>
    await tenantCli(engine, { socket: socket(tenant), folder, isOldest });
  return {
    engine,
    guard,
    folder,
    auditFile,
    socket,
    cli,
    a: await cli("a"),
    b: await cli("b"),
    c: await cli("c"),
    d: await cli("d"),
    oldest: await cli("a", true),
    async [Symbol.asyncDispose]() {
      await guard[Symbol.asyncDispose]();
      await removeCgroups(guard.data);
      await engine.docker("rmi", "--force", "host-secret:v1");
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Removes all images of a tenant: a build with several stages leaves some without a name, like at an engine. */
export async function clear(cli: TenantCli): Promise<void> {
  const { stdout } = await cli(["images", "--quiet", "--no-trunc"]);
  if (stdout === "") return;
  expect(await cli(["rmi", "--force", ...(await newestFirst(cli, stdout.split("\n")))])).toMatchObject({ exitCode: 0 });
}

/** Returns the guard's names on the engine. */
export async function guardNames(engine: Engine): Promise<string[]> {
  return (await engine.listing()).references.filter((name) => name.includes("guard.internal/"));
}

/** Returns the output of a tenant's image that the host runs */
export async function runOnHost({ engine }: Guarded, tenant: string, name: string): Promise<string> {
  const path = `guard.internal/${tenant}/docker.io/library/${name}`;
  return (await engine.docker("run", "--rm", "--network", "none", path)).stdout;
}
