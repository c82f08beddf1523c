import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { builtCommand, writeCommands } from "./commands.ts";
import { askEngine } from "./engine-api.ts";
import type { EngineDescription } from "./daemon.ts";
import { Engine } from "./engine.ts";
import { enginePath, type EngineKind } from "./engine-packages.ts";
import { startMachine } from "./machine.ts";
import { addBridge, addWire, planNetwork, type Bridge } from "./network.ts";
import { installPackages } from "./packages.ts";
import { findProgram } from "./programs.ts";
import { createRun, type Run } from "./run.ts";
import { startSshd, writeSshFiles } from "./ssh.ts";
import { removeLeftovers, startReaper } from "./teardown.ts";
import { Testbed, type TestbedDescription } from "./testbed.ts";
import { checkTestbed } from "./check.ts";
import { useHostEngine } from "./host-engine.ts";

interface EngineOptions {
  /** @default "host" */
  kind?: EngineKind;
  /** The size of the disk for its images, in memory. @default unlimited */
  diskMB?: number;
}

export interface TestbedOptions {
  near?: EngineOptions;
  far?: EngineOptions;
  /** The command line of `docker-over-ssh` on either machine. @default bin/docker-over-ssh.js, with this node */
  command?: string[];
  /** Uses the engine of the docker CLI, for near and far, if no test bed can be started. */
  useHostEngine?: boolean;
}

/**
 * Starts two engines and an sshd, in about two seconds if all packages are installed. Dispose of the result at the end. The next start removes the
 * leftovers of killed processes.
 * @throws if the test bed cannot work on this machine: see {@link checkTestbed}
 */
export async function startTestbed(options: TestbedOptions = {}): Promise<Testbed> {
  const check = await checkTestbed();
  if (options.useHostEngine) return await useHostEngine(check.usable ? "asked for" : check.why);
  if (!check.usable) throw new Error(check.why);
  await installPackages();
  await removeLeftovers();
  const run = createRun();
  const reaper = startReaper(run);
  try {
    const description = await start(run, reaper.lifelines, options);
    return new Testbed(description, () => reaper.end());
  } catch (error) {
    await reaper.end();
    throw error;
  }
}

/** Attaches to a test bed that another process has started. */
export function attachTestbed(description: TestbedDescription): Testbed {
  return new Testbed(description);
}

async function start(run: Run, lifelines: Writable[], options: TestbedOptions): Promise<TestbedDescription> {
  const network = await planNetwork(run);
  const bin = join(run.folder, "bin");
  const [near, far, ssh] = await Promise.all([
    startHost(run, lifelines, "near", network.near, options.near),
    startHost(run, lifelines, "far", network.far, options.far),
    writeSshFiles(join(run.folder, "ssh"), network.wire.farAddress),
  ]);
  writeCommands(bin, {
    ssh: (await findProgram("ssh")) ?? "/usr/bin/ssh",
    sshConfig: ssh.clientConfig,
    command: options.command ?? builtCommand,
  });
  await addWire(near.machine, far.machine, network.wire);
  await Promise.all([
    near.engine.start(),
    far.engine.start(),
    startSshd(far.machine, {
      folder: ssh.folder,
      address: network.wire.farAddress,
      env: { PATH: `${bin}:${far.engine.env.PATH}`, HOME: far.home },
    }),
  ]);
  return {
    near: await described(near.engine),
    far: await described(far.engine),
    env: { ...near.engine.env, PATH: `${bin}:${near.engine.env.PATH}`, HOME: near.home },
    machines: {
      folder: run.folder,
      near: near.machine,
      far: far.machine,
      wire: network.wire,
      sshConfig: ssh.clientConfig,
      bin,
    },
  };
}

/** Starts a machine with a bridge. Returns the description of the engine that will run on it. */
async function startHost(
  run: Run,
  lifelines: Writable[],
  hostname: "near" | "far",
  bridge: Bridge,
  { kind = "host", diskMB }: EngineOptions = {},
) {
  const folder = join(run.folder, hostname);
  const home = join(folder, "home");
  mkdirSync(home, { recursive: true });
  const [machine, path] = await Promise.all([
    startMachine({ hostname, folder, ownNetwork: hostname === "far", diskMB, lifelines }),
    enginePath(kind),
  ]);
  await addBridge(machine, bridge);
  const engine = new Engine({
    kind,
    version: "",
    socket: join(folder, "docker.sock"),
    path,
    configFolder: join(home, ".docker"),
    daemon: { machine, bridge, cgroup: `/${run.name}` },
  });
  return { machine, engine, home };
}

async function described({ description }: Engine): Promise<EngineDescription> {
  const { Version } = JSON.parse(await askEngine(description.socket, "/version")) as {
    Version: string;
  };
  return { ...description, version: Version };
}
