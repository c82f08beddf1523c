import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pidFile, untilAnswers, type DaemonOptions, type EngineDescription } from "./daemon.ts";
import { startInside, type Machine } from "./machine.ts";

/**
 * Starts Podman on the socket, and waits until it answers. Does not affect the machine's own Podman:
 * - images, containers and locks are below the machine's folder, and no control group is created
 * - the machine's /run contains the files that Podman always writes to /var/lib/containers and /var/cache/containers
 * - a second hierarchy of control groups, which crun does not support, is hidden
 */
export async function startPodman({ machine }: DaemonOptions, description: EngineDescription): Promise<void> {
  const { path, socket, configFolder } = description;
  const folder = settingsFolder(machine);
  const data = join(machine.dataFolder, "podman");
  const log = join(machine.folder, "podman.log");
  writeSettings(folder, data, path);
  // Podman's CLI reads docker's settings file, and fails if the folder in DOCKER_CONFIG has none.
  mkdirSync(configFolder, { recursive: true });
  if (!existsSync(join(configFolder, "config.json"))) writeFileSync(join(configFolder, "config.json"), "{}");
  const args = ["-ec", inMachine, "sh", pidFile(machine), socket, data];
  const env = {
    HOME: folder,
    TMPDIR: `${data}/tmp`,
    CONTAINERS_CONF: join(folder, "containers.conf"),
    CONTAINERS_STORAGE_CONF: join(folder, "storage.conf"),
    CONTAINERS_REGISTRIES_CONF: join(folder, "registries.conf"),
  };
  const { ended } = startInside(machine, { command: "sh", args, path, log, env });
  await untilAnswers(description, { log, ended });
}

/** Returns the environment of the podman CLI, which reads the settings of containers from its own file, not from that of the service. */
export function podmanEnv(machine: Machine, host: string): Record<string, string> {
  return { CONTAINER_HOST: host, CONTAINERS_CONF: join(settingsFolder(machine), "containers.conf") };
}

function settingsFolder({ folder }: Machine): string {
  return join(folder, "podman");
}

/** Within the machine, /run/docker.sock is the default of every docker CLI. */
const inMachine = `
pid_file=$1 socket=$2 data=$3
for folder in /var/lib /var/cache; do
  own=/run/podman$folder
  if [ ! -d "$own" ]; then
    mkdir -p "$own/upper" "$own/work"
    mount -t overlay -o "lowerdir=$folder,upperdir=$own/upper,workdir=$own/work" overlay "$folder"
  fi
done
if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi
mkdir -p "$data/tmp"
rm -f "$socket"
ln -sf "$socket" /run/docker.sock
echo $$ >"$pid_file"
exec podman system service --time 0 "unix://$socket"
`;

function writeSettings(folder: string, data: string, path: string): void {
  const file = (name: string) => join(folder, name);
  const programs = path.split(":")[0] ?? "";
  mkdirSync(join(folder, ".config/containers"), { recursive: true });
  mkdirSync(file("helpers"), { recursive: true });
  writeFileSync(
    file("containers.conf"),
    `[containers]
cgroups = "disabled"
# It would raise them above what this machine may allow.
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[network]
network_backend = "netavark"
network_config_dir = "${file("networks")}"
[engine]
cgroup_manager = "cgroupfs"
conmon_path = ["${programs}/conmon"]
events_logger = "none"
helper_binaries_dir = ["${file("helpers")}"]
# Not in /dev/shm, which all on this machine share.
lock_type = "file"
runtime = "crun"
[engine.runtimes]
crun = ["${programs}/crun"]
`,
  );
  writeFileSync(
    file("storage.conf"),
    `[storage]
driver = "overlay"
graphroot = "${data}/storage"
runroot = "/run/podman/storage"
`,
  );
  const insecure = ["localhost", "127.0.0.1"].map((host) => `[[registry]]\nlocation = "${host}"\ninsecure = true\n`);
  // A test may have written this file for the next start.
  if (!existsSync(file("registries.conf"))) writeFileSync(file("registries.conf"), insecure.join(""));
  writeFileSync(
    file(".config/containers/policy.json"),
    JSON.stringify({ default: [{ type: "insecureAcceptAnything" }] }),
  );
  writeFileSync(file("helpers/netavark"), netavark, { mode: 0o755 });
}

/**
 * Replaces Podman's network program, which writes firewall rules into the network of the tests. A container has an empty network: no port can be
 * published.
 */
const netavark = `#!/bin/sh
case " $* " in *" setup "*) echo '{"podman":{"interfaces":{}}}' ;; esac
`;
