import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { cacheFolder } from "./paths.ts";
import { fetching, findProgram, run } from "./programs.ts";

/** The programs that the test bed needs, with their packages in Debian and Ubuntu. */
const needed: Record<string, string[]> = {
  dockerd: ["docker.io"],
  docker: ["docker.io", "docker-cli"],
  containerd: ["containerd"],
  runc: ["runc"],
  iptables: ["iptables"],
  ip: ["iproute2"],
  tc: ["iproute2"],
  nsenter: ["util-linux"],
  sshd: ["openssh-server"],
  ssh: ["openssh-client"],
  "docker-registry": ["docker-registry"],
  busybox: ["busybox-static"],
  "redis-server": ["redis-server"], // for the tests of server/
  // For login-host.ts: login shells, and programs that ask for passwords.
  zsh: ["zsh"],
  fish: ["fish"],
  csh: ["csh"],
  tcsh: ["tcsh"],
  sudo: ["sudo"],
};

/** Installs the programs missing from PATH with apt. Changes nothing when none is missing. */
export async function installPackages(): Promise<void> {
  const missing = await missingPrograms();
  if (missing.length === 0) return;
  await exclusively("packages", async () => {
    if ((await missingPrograms()).length === 0) return;
    await fetching`apt-get update -qq`;
    // Debian 12 has the docker CLI in docker.io, later releases in another package.
    const wanted = [...new Set(missing.flatMap((program) => needed[program] ?? []))];
    const known = await Promise.all(wanted.map(isPackage));
    const packages = wanted.filter((_, index) => known[index]);
    await installWithApt(packages);
    const still = await missingPrograms();
    if (still.length > 0) throw new Error(`apt installed no ${still.join(", no ")}`);
  });
}

/** Installs a missing program from the package of the same name. Returns its path, or undefined if there is no such package. */
export async function installProgram(program: string): Promise<string | undefined> {
  await exclusively("packages", async () => {
    if ((await findProgram(program)) !== undefined) return;
    await fetching`apt-get update -qq`;
    if (await isPackage(program)) await installWithApt([program]);
  });
  return await findProgram(program);
}

/** Installs packages. Waits for other processes that install packages. */
export async function installWithApt(packages: string[]): Promise<void> {
  const options = ["-y", "-qq", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"];
  await fetching("apt-get", ["install", ...options, ...packages], { env: { DEBIAN_FRONTEND: "noninteractive" } });
}

async function missingPrograms(): Promise<string[]> {
  const programs = Object.keys(needed);
  const found = await Promise.all(programs.map(findProgram));
  return programs.filter((_, index) => found[index] === undefined);
}

async function isPackage(name: string): Promise<boolean> {
  const { stdout } = await run({ reject: false })`apt-cache policy ${name}`;
  return /Candidate: \d/.test(stdout);
}

/** Runs a task while no other test bed on this machine runs a task of the same name. */
export async function exclusively(name: string, task: () => Promise<void>): Promise<void> {
  mkdirSync(cacheFolder, { recursive: true });
  const lock = join(cacheFolder, `${name}.lock`);
  // flock(1) holds the lock while its child runs, and the child runs until the pipe to it is closed.
  const holder = run("flock", [lock, "sh", "-c", "echo locked; cat"], { reject: false });
  await Promise.race([
    new Promise((resolve) => holder.stdout.once("data", resolve)),
    holder.then(({ stderr }) => Promise.reject(new Error(`flock ${lock}: ${stderr}`))),
  ]);
  try {
    await task();
  } finally {
    holder.stdin.end();
    await holder;
  }
}

/** Returns the fields of os-release(5). */
export function osRelease(): Record<string, string> {
  let text = "";
  try {
    text = readFileSync("/etc/os-release", "utf8");
  } catch {
    // A Linux without os-release.
  }
  const lines = text.matchAll(/^(\w+)="?(.*?)"?$/gm);
  return Object.fromEntries(Array.from(lines, ([, key = "", value = ""]) => [key, value]));
}
