import { existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

/** Where a clean environment keeps, as JSON, the settings of the machine that {@link machineEnvironment} gives. */
const MACHINE = "DOS_MACHINE_ENVIRONMENT";

/** What the tests keep: where there is room, how they are run and reported, and what Windows does not work without. */
const KEPT = /^(?:TMPDIR|CI|GITHUB_\w+|VITEST\w*|DOS_\w+|SYSTEMROOT|SYSTEMDRIVE|COMSPEC|PATHEXT|TEMP|TMP)$/i;

/** What fetching packages, and finding the engine that the machine has, needs of the machine. */
const NEEDED =
  /^(?:HOME|XDG_CACHE_HOME|DOCKER_\w+|GO\w+|(?:https?|all|no)_proxy|npm_config_(?:userconfig|registry|cache|cafile)|NODE_EXTRA_CA_CERTS|SSL_CERT_\w+)$/i;

/** Not on a test's PATH, wherever the machine has them: what a test wants to be found, it puts there. */
const HIDDEN = ["docker-over-ssh", "podman"];

/** What `su` leaves out of PATH. */
export const FOR_ADMINISTRATORS = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/**
 * Takes from this process, and so from all that it starts, what the machine has: settings in variables, a home with its caches, docker
 * contexts and ssh config, a language, a tool that is installed globally. For the process that starts all others, before it does.
 */
export function leaveMachine(): void {
  if (isClean()) return;
  const folder = mkdtempSync(join(tmpdir(), "dos-clean-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const env = cleanEnvironment(process.env, folder);
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, env);
}

/** Whether this process, or the one that started it, has left the machine. */
export function isClean(): boolean {
  return process.env[MACHINE] !== undefined;
}

/**
 * The settings with which packages are fetched, and what was fetched before is found again: the machine's caches, proxies, registries.
 * To be added to an environment.
 */
export function machineEnvironment(): Record<string, string> {
  const kept = process.env[MACHINE];
  return kept === undefined ? matching(process.env, NEEDED) : (JSON.parse(kept) as Record<string, string>);
}

/** @param folder an empty one, which has the home and the PATH afterwards */
function cleanEnvironment(machine: NodeJS.ProcessEnv, folder: string): Record<string, string> {
  const home = join(folder, "home");
  mkdirSync(home);
  const isWindows = process.platform === "win32";
  const path = [machine["PATH"] ?? "", ...(isWindows ? [] : FOR_ADMINISTRATORS)].join(delimiter);
  return {
    ...matching(machine, KEPT),
    PATH: withoutPrograms(path, HIDDEN, folder),
    HOME: home,
    ...(isWindows && { USERPROFILE: home }),
    LANG: "C.UTF-8",
    [MACHINE]: JSON.stringify(matching(machine, NEEDED)),
  };
}

/** The PATH of unit tests, which need no engine and no ssh. For a process that has left the machine. */
export function unitPath(): string {
  const { PATH = "", HOME = "" } = process.env;
  return withoutPrograms(PATH, ["docker", "ssh"], join(HOME, "../unit"));
}

/** Where the links are that PATH may lead to. */
export function linkFolders(): string[] {
  return isClean() ? [join(process.env["HOME"] ?? "", "..")] : [];
}

/** A PATH on which all is found but these: a folder that has one of them is replaced by links, in `into`, to all else in it. */
function withoutPrograms(path: string, names: readonly string[], into: string): string {
  if (process.platform === "win32") return path; // links are for administrators there
  const replaced = new Map<string, string>();
  const folders = path.split(delimiter).map((folder) => {
    if (!names.some((name) => existsSync(join(folder, name)))) return folder;
    const real = realpathSync(folder);
    const links = replaced.get(real) ?? linkOthers(real, names, join(into, `bin-${replaced.size}`));
    replaced.set(real, links);
    return links;
  });
  return [...new Set(folders)].join(delimiter);
}

function linkOthers(folder: string, names: readonly string[], into: string): string {
  if (existsSync(into)) return into; // vitest reads its settings once for each project
  mkdirSync(into, { recursive: true });
  for (const name of readdirSync(folder)) {
    if (!names.includes(name)) symlinkSync(join(folder, name), join(into, name));
  }
  return into;
}

function matching(env: NodeJS.ProcessEnv, names: RegExp): Record<string, string> {
  const entries = Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return Object.fromEntries(entries.filter(([name]) => names.test(name)));
}
