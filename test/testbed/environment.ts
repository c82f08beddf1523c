import { existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

/** The variable in which a clean environment stores, as JSON, the settings that {@link machineEnvironment} returns. */
const MACHINE = "DOS_MACHINE_ENVIRONMENT";

/** Variables that stay in the environment of the tests: temporary folders, test runners, and those that Windows needs. */
const KEPT = /^(?:TMPDIR|CI|GITHUB_\w+|VITEST\w*|DOS_\w+|SYSTEMROOT|SYSTEMDRIVE|COMSPEC|PATHEXT|TEMP|TMP)$/i;

/** Variables for downloading packages and for finding the machine's engine. */
const NEEDED =
  /^(?:HOME|XDG_CACHE_HOME|DOCKER_\w+|GO\w+|(?:https?|all|no)_proxy|npm_config_(?:userconfig|registry|cache|cafile)|NODE_EXTRA_CA_CERTS|SSL_CERT_\w+)$/i;

/** Programs that are hidden from the PATH of a test. A test adds those that it needs. */
const HIDDEN = ["docker-over-ssh", "podman"];

/** The folders that `su` omits from PATH. */
export const FOR_ADMINISTRATORS = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/**
 * Removes the machine's settings from this process and its future children: variables, the home with its caches, docker contexts and ssh
 * config, the language, globally installed tools. Call it in the process that starts all other processes, before it starts them.
 */
export function leaveMachine(): void {
  if (isClean()) return;
  const folder = mkdtempSync(join(tmpdir(), "dos-clean-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const env = cleanEnvironment(process.env, folder);
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, env);
}

/** Returns whether this process, or its parent, has left the machine. */
export function isClean(): boolean {
  return process.env[MACHINE] !== undefined;
}

/**
 * Returns the settings for downloads, which a caller adds to an environment: the machine's caches, proxies and registries.
 */
export function machineEnvironment(): Record<string, string> {
  const kept = process.env[MACHINE];
  return kept === undefined ? matching(process.env, NEEDED) : (JSON.parse(kept) as Record<string, string>);
}

/** @param folder an empty folder for the home and the PATH */
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

/** Returns the PATH of unit tests, which need no engine and no ssh. For a process that has left the machine. */
export function unitPath(): string {
  const { PATH = "", HOME = "" } = process.env;
  return withoutPrograms(PATH, ["docker", "ssh"], join(HOME, "../unit"));
}

/** Returns the folders of links that this module may have put into PATH. */
export function linkFolders(): string[] {
  return isClean() ? [join(process.env["HOME"] ?? "", "..")] : [];
}

/** Returns a PATH without these programs. It replaces a folder that contains one of them by a folder below `into` with links to its other programs. */
function withoutPrograms(path: string, names: readonly string[], into: string): string {
  if (process.platform === "win32") return path; // on Windows, only administrators may create links
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
  if (existsSync(into)) return into; // vitest loads its settings once for each project
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
