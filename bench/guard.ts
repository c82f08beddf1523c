/**
 * Measures the cost of the guard: `npm run bench:guard`. Runs the same docker commands at the engine's socket and at a tenant's socket, in turns: a
 * build of 50 small steps with BuildKit and with the classic builder, and `docker images` 100 times. If buildah is installed, also compares the same
 * build by `buildah build` and by the docker command at a guard in mode buildah. Prints medians and their ratio.
 */
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { execa } from "execa";
import { startGuard } from "../server/test/fixtures/guard/guard-process.ts";
import { contextIn, tenantCli, type CliOptions, type TenantCli } from "../server/test/fixtures/guard/tenant-cli.ts";
import { BASE, importBase } from "../test/testbed/build-base.ts";
import type { EngineKind } from "../test/testbed/engine-packages.ts";
import { findProgram } from "../test/testbed/programs.ts";
import { startTestbed } from "../test/testbed/start.ts";
import { median } from "./statistics.ts";

const { values: options } = parseArgs({
  options: {
    engine: { type: "string", default: "28.5" },
    rounds: { type: "string", default: "5" },
    steps: { type: "string", default: "50" },
    images: { type: "string", default: "100" },
    /** `engine` or `buildah`. Default: both */
    only: { type: "string" },
  },
});

const rounds = Number(options.rounds);

/** Runs docker, and returns the time in seconds. */
async function timed(run: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await run();
  return (performance.now() - begun) / 1000;
}

async function succeed(cli: TenantCli, words: readonly string[], how: CliOptions = {}): Promise<void> {
  const { exitCode, stderr } = await cli(words, how);
  if (exitCode !== 0) throw new Error(`docker ${words.join(" ")} ended with ${exitCode}:\n${stderr}`);
}

/** Both alternatives. Each function runs a round. */
type Variants = Record<"without" | "through", (round: number) => Promise<void>>;

/** Runs both alternatives in turns, the first one first in every other round, and prints their medians. */
async function compare(name: string, variants: Variants): Promise<void> {
  const times: Record<keyof Variants, number[]> = { without: [], through: [] };
  for (let round = 0; round <= rounds; round += 1) {
    const order = round % 2 === 0 ? (["without", "through"] as const) : (["through", "without"] as const);
    for (const variant of order) {
      const seconds = await timed(async () => await variants[variant](2 * round + (variant === "through" ? 1 : 0)));
      if (round > 0) times[variant].push(seconds); // the first round fills the caches
    }
  }
  const [without, through] = [median(times.without), median(times.through)];
  console.log(
    `${name}: ${without.toFixed(2)} s without, ${through.toFixed(2)} s through the guard, ratio ${(through / without).toFixed(2)} (medians of ${rounds})`,
  );
}

/** Returns a Dockerfile of small steps, which differs in each round */
function steps(base: string, round: number): string {
  const runs = Array.from({ length: Number(options.steps) }, (_, step) => `RUN echo ${round} ${step} > /step`);
  return [`FROM ${base}`, ...runs, ""].join("\n");
}

const folder = mkdtempSync(join(tmpdir(), "dos-bench-guard-"));
const bed = await startTestbed({ near: { kind: options.engine as EngineKind } });
try {
  if (options.only !== "buildah") await compareEngine();
  if (options.only !== "engine") await compareBuildah();
} finally {
  await bed[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
}

/** Compares the docker command at an engine's socket and at a tenant's socket. */
async function compareEngine(): Promise<void> {
  const allowed = ["--bind-local", folder, "--allow-base", BASE];
  await using _ = await startGuard(folder, ["-H", bed.near.host, ...allowed], bed.env);
  const engine = await tenantCli(bed.near, { socket: bed.near.description.socket, folder });
  const tenant = await tenantCli(bed.near, { socket: join(folder, "docker.sock"), folder });
  const atBoth = (run: (cli: TenantCli, round: number) => Promise<void>): Variants => ({
    without: async (round) => await run(engine, round),
    through: async (round) => await run(tenant, round),
  });
  await importBase(bed.near);
  for (const builder of ["buildkit", "classic"] as const) {
    const build = async (cli: TenantCli, round: number): Promise<void> => {
      const context = contextIn(folder, { Dockerfile: steps(BASE, round) });
      await succeed(cli, ["build", "--quiet", "-t", `bench:${builder}-${round}`, context], { builder });
    };
    await compare(`a build of ${options.steps} steps, ${builder}`, atBoth(build));
  }
  const images = async (cli: TenantCli): Promise<void> => {
    for (let count = 0; count < Number(options.images); count += 1) await succeed(cli, ["images"]);
  };
  await compare(`${options.images} times docker images`, atBoth(images));
}

/** Compares `buildah build` as root, with its own storage, to docker at a guard in mode buildah. Both use overlay, without a network. */
async function compareBuildah(): Promise<void> {
  if ((await findProgram("buildah")) === undefined)
    return console.log("buildah is not installed, so its part is skipped");
  const data = join(folder, "buildah");
  const wanted = ["--mode", "buildah", "--bind-local", data, "--network", "none"];
  await using _ = await startGuard(data, wanted, bed.env);
  const docker = await tenantCli(bed.near, { socket: join(data, "docker.sock"), folder });
  const storage = ["--root", join(data, "plain"), "--runroot", join(data, "run"), "--storage-driver", "overlay"];
  const buildah = async (context: string, name: string): Promise<void> => {
    const how = ["--isolation", "oci", "--runtime", "runc", "--layers", "--network", "none", "--quiet"];
    await execa("buildah", [...storage, "build", ...how, "--tag", name, context], { stdin: "ignore" });
  };
  await using __ = { [Symbol.asyncDispose]: async () => void (await execa("buildah", [...storage, "rm", "--all"])) };
  const base = contextIn(folder, {
    Dockerfile: 'FROM scratch\nCOPY busybox /bin/busybox\nENV PATH=/bin\nRUN ["/bin/busybox", "--install", "/bin"]\n',
  });
  copyFileSync("/bin/busybox", join(base, "busybox"));
  await buildah(base, "base");
  await succeed(docker, ["build", "-t", "base", base]);
  const context = (round: number, from: string): string => contextIn(folder, { Dockerfile: steps(from, round) });
  await compare(`a build of ${options.steps} steps, mode buildah`, {
    without: async (round) => await buildah(context(round, "localhost/base"), `bench-${round}`),
    through: async (round) =>
      await succeed(docker, ["build", "--quiet", "-t", `bench-${round}`, context(round, "base")]),
  });
}
