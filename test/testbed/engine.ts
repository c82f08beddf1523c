import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { answers } from "./engine-api.ts";
import type { EngineKind } from "./engine-packages.ts";
import { listEngine, type Listing } from "./listing.ts";
import { runInside, startInside, type Machine } from "./machine.ts";
import type { Bridge } from "./network.ts";
import { run } from "./programs.ts";
import { until } from "./wait.ts";

/** What another process needs in order to talk to the engine and to stop and start it: plain data. */
export interface EngineDescription {
  kind: EngineKind;
  /** Of the engine, as it says itself: `20.10.24+dfsg1`. */
  version: string;
  socket: string;
  /** A PATH on which the engine's own programs, and its docker CLI, come first. */
  path: string;
  /** For `DOCKER_CONFIG`: the user's own contexts and passwords stay out of the tests. */
  configFolder: string;
  /** Absent when the engine is not ours. */
  daemon?: DaemonOptions;
}

export interface DaemonOptions {
  machine: Machine;
  bridge: Bridge;
  /** The control group above those of its containers. */
  cgroup: string;
}

/** A Docker engine of the test bed. */
export class Engine {
  readonly description: EngineDescription;

  constructor(description: EngineDescription) {
    this.description = description;
  }

  /** For `DOCKER_HOST` and `-H`. */
  get host(): string {
    return `unix://${this.description.socket}`;
  }

  /** What `docker version` says of the engine; with `kind` 28.5 it may be a later one by now. */
  get version(): string {
    return this.description.version;
  }

  /** The environment in which `docker` is this engine's CLI and talks to this engine. */
  get env(): { DOCKER_HOST: string; DOCKER_CONFIG: string; PATH: string } {
    const { configFolder, path } = this.description;
    return { DOCKER_HOST: this.host, DOCKER_CONFIG: configFolder, PATH: path };
  }

  /** Runs the docker CLI on this engine. @throws ExecaError with what docker wrote, when it fails */
  async docker(...args: string[]): Promise<{ stdout: string; stderr: string }> {
    return await execa("docker", args, { env: this.env, stdin: "ignore" });
  }

  /** The same, with something to read on its stdin. */
  async dockerWithInput(
    input: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    args: string[],
    env: Record<string, string> = {},
  ): Promise<{ stdout: string; stderr: string }> {
    return await execa("docker", args, { env: { ...this.env, ...env }, stdin: input });
  }

  /** What the engine holds; equal to an earlier listing when nothing was left behind. */
  async listing(): Promise<Listing> {
    return await listEngine(this.description.socket);
  }

  /** Stops the engine as its host's service manager would; its containers stop with it. */
  async stop(): Promise<void> {
    const { machine } = this.#daemon();
    const script = `pid=$(cat "$0"); kill "$pid"; while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done`;
    await runInside(machine, "sh", ["-c", script, files(machine).pid]);
  }

  /**
   * Makes it hang (`STOP`) as a machine without memory does, and go on (`CONT`). The nsenter that waits for it outside stops
   * itself along with it, and would for ever keep the machine from ending if only the engine went on.
   */
  async signal(signal: "STOP" | "CONT"): Promise<void> {
    const { machine } = this.#daemon();
    await run`pkill -${signal} --full ${`pidfile=${files(machine).pid}`}`;
  }

  /** Starts it (again): its images are still there. Returns when it answers. */
  async start(): Promise<void> {
    const daemon = this.#daemon();
    await startContainerd(daemon, this.description.path);
    await startDockerd(daemon, this.description);
  }

  #daemon(): DaemonOptions {
    const { daemon } = this.description;
    if (!daemon) throw new Error("this engine was here before the test bed: it is not ours to stop");
    return daemon;
  }
}

function files({ folder }: Machine) {
  return {
    pid: join(folder, "docker.pid"),
    settings: join(folder, "daemon.json"),
    log: join(folder, "dockerd.log"),
    containerd: {
      socket: join(folder, "containerd.sock"),
      settings: join(folder, "containerd.toml"),
      log: join(folder, "containerd.log"),
    },
  };
}

/** A containerd of its own: dockerd would share the system's, if that runs, with other engines. */
async function startContainerd({ machine }: DaemonOptions, path: string): Promise<void> {
  const { socket, settings, log } = files(machine).containerd;
  if (existsSync(socket)) return;
  const text = `version = 2
    root = "${machine.dataFolder}/containerd"
    state = "${machine.folder}/containerd"
    disabled_plugins = ["io.containerd.grpc.v1.cri"]
    [grpc]
    address = "${socket}"`;
  writeFileSync(settings, text);
  const args = ["--config", settings, "--log-level", "warn"];
  const { ended } = startInside(machine, { command: "containerd", args, path, log });
  await until("containerd listens", () => failIf(ended(), log) || existsSync(socket), {
    explain: () => endOf(log),
  });
}

async function startDockerd(
  { machine, bridge, cgroup }: DaemonOptions,
  { kind, path, socket }: EngineDescription,
): Promise<void> {
  const { pid, settings, log, containerd } = files(machine);
  mkdirSync(join(machine.dataFolder, "docker"), { recursive: true, mode: 0o711 });
  const features = { "containerd-snapshotter": kind.endsWith("-containerd") };
  writeFileSync(settings, JSON.stringify({ features }));
  const options = {
    "config-file": settings,
    "data-root": join(machine.dataFolder, "docker"),
    "exec-root": join(machine.folder, "docker"),
    pidfile: pid,
    containerd: containerd.socket,
    bridge: bridge.device,
    // The near engine is on the network of whoever runs the tests: nothing there is changed.
    // Ports are published by docker-proxy, and containers need no other network.
    iptables: false,
    ip6tables: false,
    "ip-forward": false,
    "ip-masq": false,
    "cgroup-parent": cgroup,
    // Not systemd's: it knows nothing of processes in our namespaces.
    "exec-opt": "native.cgroupdriver=cgroupfs",
    "shutdown-timeout": 2,
  };
  const args = Object.entries(options).map(([name, value]) => `--${name}=${value}`);
  // The second one is where every docker CLI looks, within the machine.
  args.push(`--host=unix://${socket}`, "--host=unix:///run/docker.sock");
  const { ended } = startInside(machine, { command: "dockerd", args, path, log });
  const ready = async () => failIf(ended(), log) || (await answers(socket));
  await until(`the engine ${kind} answers`, ready, { explain: () => endOf(log) });
}

function failIf(ended: string | undefined, log: string): false {
  if (ended) throw new Error(`${ended}: ${endOf(log)}`);
  return false;
}

function endOf(log: string): string {
  return existsSync(log) ? `The end of ${log}:\n${readFileSync(log, "utf8").slice(-2000)}` : "";
}
