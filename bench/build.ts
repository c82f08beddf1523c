/**
 * Measures `build`: `npm run bench:build`. Builds a context of 40,000 files, three of which change, in turns with the usual alternatives. Measures
 * the time from the start of the command to the first step of the Dockerfile and to the end, and the bytes on the wire. Then compares the return of
 * the image with `--load` to `docker save | docker load`.
 */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { execa } from "execa";
import { buildxFolder, type EngineKind } from "../test/testbed/engine-packages.ts";
import { startTestbed } from "../test/testbed/start.ts";
import type { Testbed } from "../test/testbed/testbed.ts";
import { median } from "./statistics.ts";
import { prepareLayer } from "./workload/layers.ts";

const USAGE = `npm run bench:build -- [options]

--rounds N    (3)
--mbit N      of the link (100)
--far KIND    engine that builds (28.5)`;

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    mbit: { type: "string", default: "100" },
    far: { type: "string", default: "28.5" },
    help: { type: "boolean", default: false },
  },
});

/** The first step, which begins after all files have arrived. */
const DOCKERFILE = `FROM scratch AS files
COPY package.json /first-step/
COPY . /app/
`;
/** Matches the first step of the Dockerfile in BuildKit's log */
const FIRST_STEP = /^#\d+ \[(?:files )?1\/2\] /m;

interface Measured {
  /** Seconds to the first step, and to the end */
  step: number;
  end: number;
  /** MB on the wire, in both directions */
  megabytes: number;
}

interface Peer {
  name: string;
  build: (bed: Testbed, folder: string) => ReturnType<typeof shell>;
}

/** Runs a command line in the folder of the context, and joins stdout and stderr. */
function shell(bed: Testbed, folder: string, line: string, env: Record<string, string> = {}) {
  return execa("sh", ["-c", line], {
    cwd: folder,
    env: { ...bed.env, ...env },
    stdin: "ignore",
    all: true,
    reject: false,
  });
}

const PEERS: readonly Peer[] = [
  {
    name: "docker-over-ssh build",
    build: (bed, folder) => shell(bed, folder, "docker-over-ssh build --progress plain -t built:ours . ssh://far"),
  },
  {
    name: "docker -H ssh://HOST build",
    build: (bed, folder) =>
      shell(bed, folder, "docker -H ssh://far buildx build --progress plain --load -t built:docker .", {
        DOCKER_HOST: "",
      }),
  },
  {
    name: "tar | ssh docker build -",
    build: (bed, folder) =>
      shell(
        bed,
        folder,
        // The far machine has the same files, including the plugin.
        `tar czf - . | ssh far DOCKER_CONFIG=${bed.env["DOCKER_CONFIG"]} docker buildx build --progress plain --load -t built:pipe -`,
      ),
  },
];

if (options.help) console.log(USAGE);
else await main();

async function main(): Promise<void> {
  await using bed = await startTestbed({ near: { kind: "28.5-containerd" }, far: { kind: options.far as EngineKind } });
  const [rounds, mbit] = [Number(options.rounds), Number(options.mbit)];
  const folder = mkdtempSync(join(tmpdir(), "dos-bench-build-"));
  const config = mkdtempSync(join(tmpdir(), "dos-bench-config-"));
  try {
    writeFileSync(join(config, "config.json"), JSON.stringify({ cliPluginsExtraDirs: [await buildxFolder()] }));
    bed.env["DOCKER_CONFIG"] = config;
    const modules = await prepareLayer("modules");
    await execa("tar", ["-xf", join(modules.folder, "layer.tar"), "-C", folder]);
    writeFileSync(join(folder, "Dockerfile"), DOCKERFILE);
    writeFileSync(join(folder, "package.json"), "{}\n");
    await bed.limitRate(mbit);
    for (const [index, { name, build }] of PEERS.entries()) {
      change(folder, `cold ${index}`); // with the same files, BuildKit would reuse the result of the previous build
      printFigures(name, "cold", [await measure(bed, () => build(bed, folder))]);
    }
    const measured = PEERS.map((): Measured[] => []);
    for (let round = 1; round <= rounds; round++) {
      for (const [index, { build }] of PEERS.entries()) {
        change(folder, `${round} ${index}`);
        measured[index]?.push(await measure(bed, () => build(bed, folder)));
      }
    }
    PEERS.forEach(({ name }, index) => printFigures(name, "three files changed", measured[index] ?? []));
    await bringBack(bed, folder, rounds);
  } finally {
    rmSync(folder, { recursive: true });
    rmSync(config, { recursive: true });
  }
}

/** Returns the image to the near machine after a change, by delta and whole. */
async function bringBack(bed: Testbed, folder: string, rounds: number): Promise<void> {
  const load = "docker-over-ssh build --load --progress plain -t built:ours . ssh://far";
  await shell(bed, folder, load);
  const [ours, pipe]: [Measured[], Measured[]] = [[], []];
  for (let round = 1; round <= rounds; round++) {
    change(folder, `back ${round}`);
    ours.push(await measure(bed, () => shell(bed, folder, load)));
    pipe.push(await measure(bed, () => shell(bed, folder, "ssh far 'docker save built:ours | gzip -1' | docker load")));
  }
  printFigures("docker-over-ssh build --load", "three files changed, and the image back", ours);
  printFigures("docker save | docker load", "the image back alone", pipe);
}

/** Changes three files of the context. */
function change(folder: string, seed: string): void {
  writeFileSync(join(folder, "package.json"), `{"version": "${seed}"}\n`);
  const modules = readdirSync(join(folder, "app/node_modules"), { withFileTypes: true });
  for (const { name } of modules.filter((entry) => entry.isDirectory()).slice(0, 2)) {
    writeFileSync(join(folder, "app/node_modules", name, "changed.js"), `module.exports = "${seed}";\n`);
  }
}

async function measure(bed: Testbed, begin: () => ReturnType<typeof shell>): Promise<Measured> {
  const moved = await bed.countWire();
  const start = performance.now();
  const run = begin();
  let [text, step] = ["", NaN];
  run.all.on("data", (chunk: Buffer) => {
    text += chunk.toString();
    if (Number.isNaN(step) && FIRST_STEP.test(text)) step = (performance.now() - start) / 1000;
  });
  const { exitCode } = await run;
  const end = (performance.now() - start) / 1000;
  if (exitCode !== 0) throw new Error(`it ended with status ${exitCode}:\n${text.slice(-2000)}`);
  const { toFar, toNear } = await moved();
  return { step, end, megabytes: (toFar + toNear) / 1e6 };
}

function printFigures(name: string, change: string, all: readonly Measured[]): void {
  const of = (value: (one: Measured) => number): string => median(all.map(value)).toFixed(2);
  console.log(
    `${name}, ${change}: first step after ${of(({ step }) => step)} s, end after ${of(({ end }) => end)} s, ${of(({ megabytes }) => megabytes)} MB (median of ${all.length})`,
  );
}
