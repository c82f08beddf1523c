import { randomUUID } from "node:crypto";
import { expect } from "vitest";
import { BASE } from "../../../test/testbed/build-base.ts";
import type { Engine } from "../../../test/testbed/engine.ts";
import { contextIn, tenantCli, type TenantCli } from "../fixtures/guard/tenant-cli.ts";

interface CacheScene {
  engine: Engine;
  folder: string;
  a: TenantCli;
  b: TenantCli;
}

/** Returns the IDs of the cache records that `docker buildx du` lists */
export async function recordsOf(docker: TenantCli): Promise<string[]> {
  return idsIn((await docker(["buildx", "du"])).stdout);
}

/** Returns the cache records, and the parents of each */
export async function recordsWithParents(docker: TenantCli): Promise<Map<string, readonly string[]>> {
  const { stdout } = await docker(["buildx", "du", "--verbose"]);
  const records = stdout.split("\n\n").flatMap((record) => {
    const [id] = idsIn(record);
    const parents = Array.from(record.matchAll(/^ - (\w+)$/gm), ([, parent = ""]) => parent);
    return id === undefined ? [] : [[id, parents] as const];
  });
  return new Map(records);
}

/** Reads the IDs from a table, or from the output of --verbose */
function idsIn(stdout: string): string[] {
  return Array.from(stdout.matchAll(/^(?:ID:\s+)?([a-z0-9]{25})\b/gm), ([, id = ""]) => id).toSorted();
}

/** Returns the host's docker command, connected directly to the engine */
export async function hostCli(engine: Engine, folder: string): Promise<TenantCli> {
  return await tenantCli(engine, { socket: engine.description.socket, folder });
}

/** Checks that a tenant lists and removes only the cache records of its own builds, by the API and by gRPC. */
export async function recordsAreIsolated({ engine, folder, a, b }: CacheScene): Promise<void> {
  const host = await hostCli(engine, folder);
  let known = await recordsOf(host);
  /** @returns the records that a build has created */
  const built = async (docker: TenantCli): Promise<string[]> => {
    const context = contextIn(folder, { Dockerfile: `FROM ${BASE}\nRUN echo the-step ${randomUUID()} > /made\n` });
    expect(await docker(["build", context], { builder: "buildkit" })).toMatchObject({ exitCode: 0 });
    const before = new Set(known);
    known = await recordsOf(host);
    const came = known.filter((id) => !before.has(id));
    expect(came).not.toEqual([]);
    return came;
  };
  const [ofHost, ofA, ofB] = [await built(host), await built(a), await built(b)];
  const output = (await a(["buildx", "du", "--verbose"])).stdout;
  expect(output).not.toContain("the-step");
  expect(idsIn(output)).toEqual(expect.arrayContaining(ofA));
  expect(withoutThose(idsIn(output), [...ofHost, ...ofB])).toEqual(idsIn(output));

  expect(await a(["builder", "prune", "--all", "--force"])).toMatchObject({ exitCode: 0 });
  expect(withoutThose([...ofHost, ...ofA, ...ofB].toSorted(), await recordsOf(host))).toEqual(ofA);
  expect(await recordsOf(b)).toEqual(expect.arrayContaining(ofB));
  expect(await b(["buildx", "prune", "--all", "--force"])).toMatchObject({ exitCode: 0 });
  expect(withoutThose([...ofHost, ...ofB].toSorted(), await recordsOf(host))).toEqual(ofB);
}

function withoutThose(ids: readonly string[], those: readonly string[]): string[] {
  const left = new Set(those);
  return ids.filter((id) => !left.has(id));
}
