import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { nodeFolder } from "./commands.ts";
import { inside } from "./machine.ts";
import { projectFolder } from "./paths.ts";
import { findProgram, run, systemPath } from "./programs.ts";
import { hidePrograms } from "./ssh.ts";
import type { Testbed } from "./testbed.ts";
import { until } from "./wait.ts";

/** The password of every user, and the passphrase of the key of the host `login-key`. */
export const PASSWORD = "correct horse";
const PASSWORD_HASH =
  "$6$testbed$.MTiYkVH/cBHMcUzt1hICLgCLL3pkuJZxSGnrU1YBlVeZqnZgCEoItLJbNIwMG5/fm5CM86lgJ7qonCbGJuZl1";

/** The folders of docker and of node on the host, which no PATH contains, and the command of this project. */
export const PROGRAMS = {
  docker: "/run/programs/docker",
  node: "/run/programs/node/bin",
  "docker-over-ssh": "/run/programs/node/bin/node /run/programs/project/bin/docker-over-ssh.js",
};

/** A user of the far machine with a home of their own. */
export interface LoginUser {
  name: string;
  /** The login shell: the path of a program. @default /bin/sh */
  shell?: string;
  /** Files in the home. A script with a shebang is executable. */
  files?: Record<string, string>;
  /** Links in the home, to {@link PROGRAMS}. */
  links?: Record<string, string>;
  /** The user may not use the engine's socket. */
  needsSudo?: boolean;
  /** The commands that sudo allows: the end of a line of sudoers. */
  sudo?: string;
  /** The command that sshd runs instead of the requested one. */
  forced?: string;
  /** The home is mounted noexec. */
  noexec?: boolean;
}

/** A server with users of its own, at the far machine's address. */
export interface LoginHost extends AsyncDisposable {
  /**
   * The environment of a user on the near machine whose ssh knows these names of the server: `login` uses a key, `login-password` asks for a
   * password, and `login-key` asks for the passphrase of the key.
   */
  env: Record<string, string>;
  /** Returns the logins so far. */
  logins(): string[];
}

const PORT = 2230;

/**
 * The first process of the host, which has its own mounts and processes on the far machine. They end with its stdin. docker, node and similar
 * programs are hidden in all folders in which docker-over-ssh looks for programs, and are in {@link PROGRAMS}.
 */
const init = `
set -e
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/sshd /run/programs/docker /run/programs/node /run/programs/project
touch /run/docker.sock /run/programs/docker/docker
mount --bind "$SOCKET" /run/docker.sock
mount --bind "$DOCKER" /run/programs/docker/docker
mount --bind "$NODE" /run/programs/node
mount --bind "$PROJECT" /run/programs/project
for file in passwd group shadow sudoers hosts; do mount --bind "$FOLDER/etc/$file" "/etc/$file"; done
mount -t tmpfs -o mode=755 tmpfs /home
for home in $NOEXEC; do mkdir "/home/$home"; mount -t tmpfs -o noexec tmpfs "/home/$home"; done
cp -R "$FOLDER/home/." /home
for home in /home/*; do chown -R "\${home##*/}:" "$home"; chmod 700 "$home"; done
${hidePrograms("docker podman node nodejs docker-over-ssh")}
"$SSHD" -D -f "$FOLDER/sshd-config" -E "$FOLDER/sshd.log" </dev/null &
cat >/dev/null
`;

/** Starts an sshd with these users on the far machine. They exist only on this host, and end with it. */
export async function startLoginHost(bed: Testbed, users: LoginUser[]): Promise<LoginHost> {
  const { machines, far } = bed.description;
  if ("why" in machines) throw new Error(`this needs two machines: ${machines.why}`);
  const folder = join(bed.folder, "login");
  rmSync(folder, { recursive: true, force: true });
  for (const name of ["etc", "home", "bin"]) mkdirSync(join(folder, name), { recursive: true });
  writeUsers(folder, users, statSync(far.socket).gid);
  for (const user of [{ name: "root" }, ...users]) writeHome(join(folder, "home", user.name), user);
  const config = await writeClientConfig(folder, machines.sshConfig, machines.wire.farAddress);
  writeServerConfig(folder, dirname(machines.sshConfig), users);
  writeFileSync(join(folder, "bin/ssh"), `#!/bin/sh\nexec ${join(bed.bin, "ssh")} -F ${config} "$@"\n`, {
    mode: 0o755,
  });
  const child = spawn(
    ...inside(machines.far, "unshare", [
      ..."--mount --pid --propagation private --fork --kill-child sh -c".split(" "),
      init,
    ]),
    {
      stdio: "pipe",
      detached: true,
      cwd: "/",
      env: {
        PATH: systemPath(),
        FOLDER: folder,
        SOCKET: far.socket,
        DOCKER: await programOf(far.path, "docker"),
        NODE: nodeFolder,
        PROJECT: projectFolder,
        NOEXEC: users.flatMap(({ name, noexec }) => (noexec ? [name] : [])).join(" "),
        SSHD: (await findProgram("sshd")) ?? "/usr/sbin/sshd",
      },
    },
  );
  let errors = "";
  child.stderr.on("data", (data: Buffer) => (errors += data.toString()));
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const log = (): string => readFileSync(join(folder, "sshd.log"), "utf8");
  await until("the login host's sshd listens", async () => {
    if (child.exitCode !== null) throw new Error(`no login host: ${errors}`);
    return await isOpen(machines.wire.farAddress);
  });
  return {
    env: { ...bed.env, PATH: `${join(folder, "bin")}:${bed.env["PATH"]}` },
    logins: () => log().match(/^Accepted .*/gm) ?? [],
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Writes the files in which the host's programs look up users. */
function writeUsers(folder: string, users: LoginUser[], socketGroup: number): void {
  const file = (name: string, lines: string[], mode: number): void =>
    writeFileSync(join(folder, "etc", name), lines.map((line) => `${line}\n`).join(""), { mode });
  const all = users.map((user, index) => ({ shell: "/bin/sh", uid: 60_000 + index, ...user }));
  const group = (uid: number, needsSudo = false): number => (needsSudo ? uid : socketGroup);
  file(
    "passwd",
    [
      "root:x:0:0::/home/root:/bin/sh",
      "sshd:x:65533:65534::/run/sshd:/bin/false",
      ...all.map(
        ({ name, uid, needsSudo, shell }) => `${name}:x:${uid}:${group(uid, needsSudo)}::/home/${name}:${shell}`,
      ),
    ],
    0o644,
  );
  file(
    "group",
    ["root:x:0:", ...(socketGroup === 0 ? [] : [`docker:x:${socketGroup}:`]), "nogroup:x:65534:"].concat(
      all.flatMap(({ name, uid, needsSudo }) => (needsSudo ? [`${name}:x:${uid}:`] : [])),
    ),
    0o644,
  );
  file("hosts", ["127.0.0.1 localhost far"], 0o644);
  file("shadow", ["root:*:19000::::::", ...all.map(({ name }) => `${name}:${PASSWORD_HASH}:19000::::::`)], 0o600);
  file(
    "sudoers",
    ["Defaults !lecture, passwd_tries=2", ...all.flatMap(({ name, sudo }) => (sudo ? [`${name} ${sudo}`] : []))],
    0o440,
  );
}

function writeHome(home: string, { files = {}, links = {} }: LoginUser): void {
  mkdirSync(home);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(home, name)), { recursive: true });
    writeFileSync(join(home, name), text, { mode: 0o755 });
  }
  for (const [name, target] of Object.entries(links)) {
    mkdirSync(dirname(join(home, name)), { recursive: true });
    symlinkSync(target, join(home, name));
  }
}

/** Writes the settings of the near machine's ssh, and the key with a passphrase. */
async function writeClientConfig(folder: string, sshConfig: string, address: string): Promise<string> {
  const key = join(folder, "key");
  await run`ssh-keygen -q -t ed25519 -N ${PASSWORD} -C login-key -f ${key}`;
  const others = readFileSync(sshConfig, "utf8");
  const [ownKey = ""] = /IdentityFile .*/.exec(others) ?? [];
  const hosts = {
    login: [ownKey],
    "login-password": ["BatchMode no", "PubkeyAuthentication no", "PreferredAuthentications password"],
    "login-key": ["BatchMode no", `IdentityFile ${key}`],
  };
  const text = Object.entries(hosts).map(([host, options]) =>
    [`Host ${host}`, `HostName ${address}`, `Port ${PORT}`, ...options, ""].join("\n"),
  );
  const config = join(folder, "config");
  writeFileSync(config, `${text.join("\n")}\n${others.replace(ownKey, "")}`);
  return config;
}

function writeServerConfig(folder: string, sshFolder: string, users: LoginUser[]): void {
  // sshd reads it with the permissions of the user who logs in.
  const keys = [join(sshFolder, "user-key.pub"), join(folder, "key.pub")];
  writeFileSync(join(folder, "authorized-keys"), keys.map((key) => readFileSync(key, "utf8")).join(""));
  const lines = [
    `Port ${PORT}`,
    "AddressFamily inet",
    `HostKey ${join(sshFolder, "host-key")}`,
    `AuthorizedKeysFile ${join(folder, "authorized-keys")}`,
    "StrictModes no",
    "PasswordAuthentication yes",
    "KbdInteractiveAuthentication no",
    "UsePAM no",
    "PidFile none",
    "MaxStartups 1000",
    "MaxAuthTries 20",
    ...users.flatMap(({ name, forced }) =>
      forced === undefined ? [] : [`Match User ${name}`, `  ForceCommand ${forced}`],
    ),
  ];
  writeFileSync(join(folder, "sshd-config"), `${lines.join("\n")}\n`);
}

async function programOf(path: string, name: string): Promise<string> {
  const { stdout } = await run({ env: { PATH: path } })`which ${name}`;
  return stdout;
}

async function isOpen(host: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ host, port: PORT, timeout: 1000 });
    const answer = (open: boolean) => () => {
      socket.destroy();
      resolve(open);
    };
    socket.on("connect", answer(true)).on("error", answer(false)).on("timeout", answer(false));
  });
}
