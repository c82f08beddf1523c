import { mkdir } from "node:fs/promises";
import { Failure, messageOf } from "docker-over-ssh/builds";
import { Homes, type OpenHome } from "./homes.ts";
import { BuildahError, runBuildah, type Setup } from "./run-buildah.ts";
import { startProgram } from "docker-over-ssh/builds";
import { text } from "node:stream/consumers";

/** The oldest version that is known to work: that of Debian 12 */
const OLDEST = [1, 28] as const;
/** The tenant of the trial. No real tenant has this name, because it is not a valid ID. */
const TRIAL = ".trial";
/** Maximum ms of a trial */
const TRIAL_TIMEOUT = 60_000;
/** The error of runtimes for a container without /none. The error for a missing runtime has the same form, but another path. */
const NO_PROGRAM = /\/none["'`]?:? (?:not found|no such file or directory)/i;

/** The features of the host that buildah can use. */
export interface Host {
  /** e.g. `1.28.2` */
  version: string;
  hasUsers: boolean;
  setup: Setup;
}

/**
 * Tests which features work on this host: user namespaces, the storage driver, the runtime.
 *
 * @throws Failure `usage` if buildah is missing or too old, or would run steps as root of the host without a runtime that confines them
 */
export async function findHost(folder: string, env: NodeJS.ProcessEnv, report: (line: string) => void): Promise<Host> {
  const version = await versionOf(env);
  await mkdir(folder, { recursive: true, mode: 0o711 });
  const failure = await tryTrial(folder, env, true);
  if (typeof failure !== "string") {
    reportSetup(failure, report);
    return { version, hasUsers: true, setup: failure };
  }
  const setup = process.getuid?.() === 0 ? await tryTrial(folder, env, false) : failure;
  if (typeof setup === "string" || setup.isolation === "chroot") throw unusable(failure);
  report(
    `Builds run as root of the host, confined by ${setup.runtime}, because user namespaces do not work on this host (${failure}).`,
  );
  return { version, hasUsers: false, setup };
}

function reportSetup(setup: Setup, report: (line: string) => void): void {
  if (setup.isolation === "chroot") {
    report("Builds have no runtime (chroot isolation): neither crun nor runc works on this host. Install one of them.");
  }
  if (setup.driver === "vfs") {
    report("Images are whole copies of files (vfs): overlay does not work on this host. Install fuse-overlayfs.");
  }
}

async function versionOf(env: NodeJS.ProcessEnv): Promise<string> {
  const program = startProgram("buildah", ["--version"], { killTimeout: 1000, env: { PATH: env["PATH"] } });
  program.stdin.on("error", () => {});
  program.stderr.resume();
  const output = await text(program.stdout).catch(() => "");
  const { error } = await program.exit;
  const [, major, minor, patch] = /version (\d+)\.(\d+)\.(\d+)/.exec(output) ?? [];
  if (major === undefined || minor === undefined) {
    throw new Failure(
      "usage",
      `buildah does not run: ${error === undefined ? "it reports no version" : messageOf(error)}`,
      {
        expected: "buildah on the PATH",
        hint: "On Debian and Ubuntu: apt-get install buildah crun slirp4netns fuse-overlayfs uidmap",
      },
    );
  }
  const [oldestMajor, oldestMinor] = OLDEST;
  if (Number(major) < oldestMajor || (Number(major) === oldestMajor && Number(minor) < oldestMinor)) {
    throw new Failure("usage", `buildah ${major}.${minor} is too old`, {
      expected: `buildah ${OLDEST.join(".")} or later`,
    });
  }
  return `${major}.${minor}.${patch}`;
}

function unusable(why: string): Failure {
  return new Failure("usage", `buildah does not work on this host: ${why}`, {
    expected: "user namespaces, or root and a runtime (crun or runc)",
    hint: "Allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone), or install crun.",
  });
}

/** Returns the setup that works, or the reason why none does. */
async function tryTrial(folder: string, env: NodeJS.ProcessEnv, hasUsers: boolean): Promise<Setup | string> {
  await using homes = new Homes(folder, env, hasUsers);
  try {
    const home = await homes.of(TRIAL);
    return await findSetup(home, env);
  } catch (error) {
    return messageOf(error);
  } finally {
    await homes.remove(TRIAL, async () => {}).catch(() => {});
  }
}

async function findSetup(home: OpenHome, env: NodeJS.ProcessEnv): Promise<Setup> {
  const drivers = [
    { driver: "overlay", driverOptions: [] },
    { driver: "overlay", driverOptions: ["overlay.mount_program=/usr/bin/fuse-overlayfs"] },
    { driver: "vfs", driverOptions: [] },
  ] as const;
  let why = "";
  for (const driver of drivers) {
    const withChroot: Setup = { ...driver, isolation: "chroot" };
    const failure = await tryStep(home, withChroot, env);
    why ||= failure ?? "";
    if (failure !== undefined) continue;
    for (const runtime of ["crun", "runc"]) {
      const setup: Setup = { ...driver, isolation: "oci", runtime };
      if ((await tryStep(home, setup, env)) === undefined) return setup;
    }
    return withChroot;
  }
  throw new Error(why);
}

/** Runs a step in an empty image. If the only error is that its program is missing, everything works. Otherwise returns the error. */
async function tryStep(home: OpenHome, setup: Setup, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const options = { signal: AbortSignal.timeout(TRIAL_TIMEOUT) };
  const { isolation, runtime } = setup;
  const run = ["run", "--isolation", isolation, ...(runtime === undefined ? [] : ["--runtime", runtime])];
  const network = isolation === "chroot" ? "host" : "none";
  try {
    const container = await runBuildah(home, setup, ["from", "scratch"], env, options);
    await runBuildah(home, setup, [...run, "--network", network, container.trim(), "/none"], env, options);
    return undefined;
  } catch (error) {
    if (!(error instanceof BuildahError)) throw error;
    return hasStarted(error.lines) ? undefined : error.message;
  } finally {
    await runBuildah(home, setup, ["rm", "--all"], env, options).catch(() => {});
  }
}

/** Returns whether a runtime has got as far as starting /none. */
export function hasStarted(lines: readonly string[]): boolean {
  return lines.some((line) => NO_PROGRAM.test(line));
}
