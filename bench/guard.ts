/**
 * Measures what the guard costs: `npm run bench:guard`. The same docker commands at the engine's socket and at a tenant's, in turns: a build of 50 small
 * steps with BuildKit and with the classic builder, and 100 times `docker images`. It prints medians and their ratio.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startGuard } from "../server/test/fixtures/guard/guard-process.ts";
import { contextIn, tenantCli, type CliOptions, type TenantCli } from "../server/test/fixtures/guard/tenant-cli.ts";
import { BASE, importBase } from "../test/testbed/build-base.ts";
import type { EngineKind } from "../test/testbed/engine-packages.ts";
import { startTestbed } from "../test/testbed/start.ts";
import { median } from "./statistics.ts";

const { values: options } = parseArgs({
  options: {
    engine: { type: "string", default: "28.5" },
    rounds: { type: "string", default: "5" },
    steps: { type: "string", default: "50" },
    images: { type: "string", default: "100" },
  },
});

const rounds = Number(options.rounds);

/** Returns seconds. */
async function timed(run: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await run();
  return (performance.now() - begun) / 1000;
}

async function succeed(cli: TenantCli, words: readonly string[], how: CliOptions = {}): Promise<void> {
  const { exitCode, stderr } = await cli(words, how);
  if (exitCode !== 0) throw new Error(`docker ${words.join(" ")} ended with ${exitCode}:\n${stderr}`);
}

/** Runs both in turns, the first one first in every other round, and prints their medians. */
async function compare(name: string, run: (cli: TenantCli, round: number) => Promise<void>): Promise<void> {
  const times: Record<"without" | "through", number[]> = { without: [], through: [] };
  for (let round = 0; round <= rounds; round += 1) {
    const order = round % 2 === 0 ? (["without", "through"] as const) : (["through", "without"] as const);
    for (const way of order) {
      const seconds = await timed(async () => await run(ways[way], 2 * round + (way === "through" ? 1 : 0)));
      if (round > 0) times[way].push(seconds); // the first one warms up
    }
  }
  const [without, through] = [median(times.without), median(times.through)];
  console.log(
    `${name}: ${without.toFixed(2)} s without, ${through.toFixed(2)} s through the guard, ratio ${(through / without).toFixed(2)} (medians of ${rounds})`,
  );
}

const folder = mkdtempSync(join(tmpdir(), "dos-bench-guard-"));
const bed = await startTestbed({ near: { kind: options.engine as EngineKind } });
const guard = await startGuard(
  folder,
  ["-H", bed.near.host, "--bind-local", folder, "--allow-base", BASE, "--max-requests", "10000"],
  bed.env,
);
const ways = {
  without: await tenantCli(bed.near, { socket: bed.near.description.socket, folder }),
  through: await tenantCli(bed.near, { socket: join(folder, "docker.sock"), folder }),
};
try {
  await importBase(bed.near);
  const steps = (round: number): string =>
    [
      `FROM ${BASE}`,
      ...Array.from({ length: Number(options.steps) }, (_, step) => `RUN echo ${round} ${step} > /step`),
    ].join("\n");
  for (const builder of ["buildkit", "classic"] as const) {
    await compare(`a build of ${options.steps} steps, ${builder}`, async (cli, round) => {
      const context = contextIn(folder, { Dockerfile: `${steps(round)}\n` });
      await succeed(cli, ["build", "--quiet", "-t", `bench:${builder}-${round}`, context], { builder });
    });
  }
  await compare(`${options.images} times docker images`, async (cli) => {
    for (let count = 0; count < Number(options.images); count += 1) await succeed(cli, ["images"]);
  });
} finally {
  await guard[Symbol.asyncDispose]();
  await bed[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
}
