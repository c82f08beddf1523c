import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { startInside, type Machine } from "./machine.ts";
import { findProgram, run, systemPath } from "./programs.ts";
import { until } from "./wait.ts";

/** The hosts in the ssh settings. All are the far machine. */
const sshHosts = {
  far: { port: 22, what: "a server like any other" },
  noisy: { port: 2222, what: "greets on stdout before it runs the command" },
  bare: { port: 2224, what: "has docker, neither docker-over-ssh nor Node; greets too" },
  "with-node": { port: 2225, what: "has docker and Node, and no docker-over-ssh" },
  "far-again": { port: 2223, what: "a second hop: it can be reached from far only" },
} as const;

export interface SshFiles {
  folder: string;
  clientConfig: string;
}

/** Creates the keys of this run and the settings of the client. Neither reads nor writes those of the user. */
export async function writeSshFiles(folder: string, farAddress: string): Promise<SshFiles> {
  mkdirSync(folder, { mode: 0o700 });
  const file = (name: string) => join(folder, name);
  await Promise.all(
    ["host-key", "user-key"].map((key) => run`ssh-keygen -q -t ed25519 -N ${""} -C ${key} -f ${file(key)}`),
  );
  const hostKeyAlias = "docker-over-ssh-test-bed";
  writeFileSync(file("known-hosts"), `${hostKeyAlias} ${readFileSync(file("host-key.pub"), "utf8")}`);
  const everyHost = {
    User: "root",
    HostKeyAlias: hostKeyAlias,
    UserKnownHostsFile: file("known-hosts"),
    GlobalKnownHostsFile: "/dev/null",
    StrictHostKeyChecking: "yes",
    IdentityFile: file("user-key"),
    IdentitiesOnly: "yes",
    IdentityAgent: "none",
    BatchMode: "yes",
    LogLevel: "ERROR",
    ConnectTimeout: 10,
  };
  const hosts = Object.entries(sshHosts).map(([host, { port, what }]) => {
    const address = host === "far-again" ? "127.0.0.1" : farAddress;
    return `# ${what}\nHost ${host}\n  HostName ${address}\n  Port ${port}\n`;
  });
  writeFileSync(file("config"), `${hosts.join("\n")}\nHost *\n${settings(everyHost, "  ")}`);
  return { folder, clientConfig: file("config") };
}

/**
 * Starts the far machine's sshd.
 * @param env the environment of its sessions
 */
export async function startSshd(
  machine: Machine,
  { folder, address, env }: { folder: string; address: string; env: Record<string, string> },
): Promise<void> {
  const file = (name: string) => join(folder, name);
  const greeting = `echo "Welcome to far"; echo "Last login: yesterday"\n`;
  writeFileSync(file("noisy"), `${greeting}exec sh -c "$SSH_ORIGINAL_COMMAND"\n`);
  // The first folder in the PATH of `env` has docker-over-ssh. These hosts have a folder with their own programs instead.
  const without = (programs: string, bin: string, then: string): string => {
    mkdirSync(file(bin));
    return `PATH=${file(bin)}:\${PATH#*:}\nexec unshare --mount sh -c '${hidePrograms(programs)}\n${then}'\n`;
  };
  writeFileSync(
    file("bare"),
    without("node nodejs docker-over-ssh", "bare-bin", `${greeting}exec sh -c "$SSH_ORIGINAL_COMMAND"`),
  );
  writeFileSync(file("with-node"), without("docker-over-ssh", "with-node-bin", 'exec sh -c "$SSH_ORIGINAL_COMMAND"'));
  symlinkSync(process.execPath, file("with-node-bin/node"));
  const options = {
    AddressFamily: "inet",
    HostKey: file("host-key"),
    AuthorizedKeysFile: file("user-key.pub"),
    // Otherwise sshd rejects a key file below a folder that others can write to, like /var/tmp.
    StrictModes: "no",
    PermitRootLogin: "prohibit-password",
    PasswordAuthentication: "no",
    KbdInteractiveAuthentication: "no",
    UsePAM: "no",
    PermitUserRC: "no",
    PidFile: "none",
    MaxStartups: 1000,
    MaxSessions: 100,
    SetEnv: Object.entries(env)
      .map(([name, value]) => `"${name}=${value}"`)
      .join(" "),
  };
  const ports = Object.values(sshHosts).map(({ port }) => `Port ${port}\n`);
  const forced = (["noisy", "bare", "with-node"] as const).map(
    (host) => `Match LocalPort ${sshHosts[host].port}\n  ForceCommand sh ${file(host)}\n`,
  );
  writeFileSync(file("sshd-config"), `${ports.join("")}${settings(options)}${forced.join("")}`);
  const log = join(machine.folder, "sshd.log");
  // sshd executes itself for each connection, and requires its full path.
  const command = (await findProgram("sshd")) ?? "/usr/sbin/sshd";
  const args = ["-D", "-f", file("sshd-config"), "-E", log];
  const { ended } = startInside(machine, { command, args, path: systemPath(), log });
  const listens = () => {
    if (ended()) throw new Error(`${ended()}: ${readFileSync(log, "utf8")}`);
    return isOpen(address, sshHosts.far.port);
  };
  await until("sshd listens", listens, { explain: () => readFileSync(log, "utf8") });
}

/** Folders in which docker-over-ssh looks for programs, regardless of PATH. */
const FOLDERS = "/usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /bin /snap/bin /opt/homebrew/bin /opt/local/bin";

/** Returns lines of a shell script that hide programs in all folders, in a mount namespace of its own. They contain no single quote. */
export function hidePrograms(names: string): string {
  return `for program in ${names}; do
  for folder in ${FOLDERS} $(echo "$PATH" | tr : " "); do
    if [ -x "$folder/$program" ]; then mount --bind /dev/null "$folder/$program"; fi
  done
done`;
}

function settings(options: Record<string, string | number>, indent = ""): string {
  return Object.entries(options)
    .map(([name, value]) => `${indent}${name} ${value}\n`)
    .join("");
}

async function isOpen(host: string, port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 1000 });
    const answer = (open: boolean) => () => {
      socket.destroy();
      resolve(open);
    };
    socket.on("connect", answer(true)).on("error", answer(false)).on("timeout", answer(false));
  });
}
