import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { identify, type ProcessIdentity } from "./processes.ts";
import { run, systemPath } from "./programs.ts";
import { unref } from "./lifeline.ts";

/**
 * A machine: a set of namespaces with its own processes, mounts, host name, `/run` and, on request, network. Everything in it ends with its
 * first process.
 */
export interface Machine {
  hostname: string;
  /** The folder of logs, sockets and settings. Its path is the same within the machine and outside. */
  folder: string;
  /** The folder of its engine's images. */
  dataFolder: string;
  /** The process ID of the machine's first process, outside of the machine. */
  init: ProcessIdentity;
}

export interface MachineOptions {
  hostname: string;
  folder: string;
  /** Gives the machine its own network. By default, it shares the network of the process that starts it. */
  ownNetwork: boolean;
  /** Gives the machine a disk of this size (in memory) for the engine's data. */
  diskMB?: number | undefined;
  /** The list to which the machine's lifeline is added. The machine ends when the lifeline is ended. */
  lifelines: Writable[];
}

/**
 * The first process of the machine. Its stdin is a lifeline: when the process that started the machine ends in any way, the pipe closes and this
 * script ends. The kernel then kills all other processes of the machine and removes its mounts and network devices.
 *
 * - /proc/self/stat contains the outer process ID until the machine mounts its own /proc
 * - the machine has its own /run, because other engines would find the sockets that sshd and containerd create in a shared one
 * - sshd without PAM rejects root if root's password is locked, as on some systems
 * - `wait` (not `cat` in the foreground) lets the shell reap the orphans that it inherits
 */
const init = `
set -e
read -r pid rest </proc/self/stat
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/sshd
echo "$HOSTNAME_INSIDE" >/proc/sys/kernel/hostname
mount --bind "$FOLDER/shadow" /etc/shadow
if [ -n "$DISK_MB" ]; then mount -t tmpfs -o "size=\${DISK_MB}m,mode=711" tmpfs "$DATA_FOLDER"; fi
if [ -n "$OWN_NETWORK" ]; then ip link set lo up; fi
exec 3<&0
cat <&3 >/dev/null &
echo "$pid"
exec >/dev/null 2>&1
wait
`;

export async function startMachine(options: MachineOptions): Promise<Machine> {
  const { hostname, folder, ownNetwork, diskMB, lifelines } = options;
  const dataFolder = join(folder, "data");
  mkdirSync(dataFolder, { recursive: true, mode: 0o711 });
  writeFileSync(join(folder, "shadow"), "root:*:19000:0:99999:7:::\n", { mode: 0o600 });
  const namespaces = ["--pid", "--mount", "--uts", ...(ownNetwork ? ["--net"] : [])];
  const child = spawn(
    "unshare",
    [...namespaces, "--propagation", "slave", "--fork", "--kill-child", "sh", "-c", init],
    {
      stdio: "pipe",
      // Ctrl-C in a terminal signals the whole process group. The owner handles it.
      detached: true,
      env: {
        PATH: systemPath(),
        HOSTNAME_INSIDE: hostname,
        FOLDER: folder,
        DATA_FOLDER: dataFolder,
        DISK_MB: diskMB === undefined ? "" : String(diskMB),
        OWN_NETWORK: ownNetwork ? "yes" : "",
      },
    },
  );
  lifelines.push(child.stdin);
  let errors = "";
  child.stderr.on("data", (data: Buffer) => (errors += data.toString()));
  const pid = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", () => reject(new Error(`no machine "${hostname}": ${errors}`)));
    child.stdout.once("data", (data: Buffer) => resolve(Number(data.toString())));
  });
  // The machine must not prevent its owner from exiting. The lifeline then ends the machine.
  child.stdout.destroy();
  child.stderr.destroy();
  child.unref();
  unref(child.stdin);
  const identity = identify(pid);
  if (!identity) throw new Error(`the machine "${hostname}" ended as soon as it had begun`);
  const machine: Machine = { hostname, folder, dataFolder, init: identity };
  writeFileSync(join(folder, "machine.json"), JSON.stringify(machine));
  return machine;
}

/**
 * Returns the command line that runs a command within the machine. Uses nsenter, not `ip netns exec`, which mounts another /sys and thereby
 * hides the control groups.
 */
export function inside(machine: Machine, command: string, args: string[] = []): [string, string[]] {
  const namespaces = ["--mount", "--uts", "--net", "--pid"];
  return ["nsenter", ["--target", String(machine.init.pid), ...namespaces, "--", command, ...args]];
}

/** Runs a command within the machine until it ends. */
export async function runInside(machine: Machine, command: string, args: string[] = []) {
  return await run(...inside(machine, command, args));
}

/**
 * Starts a command within the machine that continues when this process ends.
 * @returns a function that returns how the command ended, undefined while it runs
 */
export function startInside(
  machine: Machine,
  {
    command,
    args,
    path,
    log,
    env = {},
  }: { command: string; args: string[]; path: string; log: string; env?: Record<string, string> },
): { ended: () => string | undefined } {
  const output = openSync(log, "a");
  let ended: string | undefined;
  const child = spawn(...inside(machine, command, args), {
    stdio: ["ignore", output, output],
    detached: true,
    cwd: "/",
    env: { PATH: path, HOME: join(machine.folder, "home"), LANG: "C.UTF-8", ...env },
  });
  child.once("exit", (code, signal) => (ended = `${command} ended with ${code ?? signal}`));
  child.once("error", (error) => (ended = `${command}: ${error.message}`));
  child.unref();
  closeSync(output);
  return { ended: () => ended };
}
