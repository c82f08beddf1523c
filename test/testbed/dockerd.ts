import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { endOf, failIf, pidFile, untilAnswers, type DaemonOptions, type EngineDescription } from "./daemon.ts";
import { startInside, type Machine } from "./machine.ts";
import { until } from "./wait.ts";

function files({ folder }: Machine) {
  return {
    settings: join(folder, "daemon.json"),
    log: join(folder, "dockerd.log"),
    containerd: {
      socket: join(folder, "containerd.sock"),
      settings: join(folder, "containerd.toml"),
      log: join(folder, "containerd.log"),
    },
  };
}

/** Starts a Docker engine, and waits until it answers. */
export async function startDocker(daemon: DaemonOptions, description: EngineDescription): Promise<void> {
  await startContainerd(daemon, description.path);
  await startDockerd(daemon, description);
}

/** Starts a containerd for this engine, because dockerd would otherwise share the system's containerd with other engines. */
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

async function startDockerd({ machine, bridge, cgroup }: DaemonOptions, description: EngineDescription): Promise<void> {
  const { kind, path, socket } = description;
  const { settings, log, containerd } = files(machine);
  mkdirSync(join(machine.dataFolder, "docker"), { recursive: true, mode: 0o711 });
  const features = { "containerd-snapshotter": kind.endsWith("-containerd") };
  writeFileSync(settings, JSON.stringify({ features }));
  const options = {
    "config-file": settings,
    "data-root": join(machine.dataFolder, "docker"),
    "exec-root": join(machine.folder, "docker"),
    pidfile: pidFile(machine),
    containerd: containerd.socket,
    bridge: bridge.device,
    // The near engine shares the network of the tests, and must not change it.
    // docker-proxy publishes the ports. Containers need no other network.
    iptables: false,
    ip6tables: false,
    "ip-forward": false,
    "ip-masq": false,
    "cgroup-parent": cgroup,
    // Not the systemd driver: systemd does not know the processes in the machine's namespaces.
    "exec-opt": "native.cgroupdriver=cgroupfs",
    "shutdown-timeout": 2,
  };
  const args = Object.entries(options).map(([name, value]) => `--${name}=${value}`);
  // Within the machine, the second socket is the default of every docker CLI.
  args.push(`--host=unix://${socket}`, "--host=unix:///run/docker.sock");
  const { ended } = startInside(machine, { command: "dockerd", args, path, log });
  await untilAnswers(description, { log, ended });
}
