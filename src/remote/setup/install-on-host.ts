import { execFileSync } from "node:child_process";
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
  type Stats,
} from "node:fs";
import { dirname, join } from "node:path";
import { homeFolder } from "../../files/cache-folder.ts";
import { isNoSpace } from "../../files/no-space.ts";
import { isOwn, openPrivateFolder, UnsafeFolder } from "../../files/private-folder.ts";
import type { SetupStep } from "../../output/setup-steps.ts";
import { digestOf, unpack } from "../script/receive-bundle.ts";
import { BIN_FOLDER, isLauncher, launcherText, NAME, SHARE_FOLDER } from "./launcher.ts";
import type { InstallProblem } from "./setup-lines.ts";

const GROUP_WRITES = 0o020;
const ANYBODY_WRITES = 0o002;
/** ms after which a half-written file counts as abandoned. */
const ABANDONED = 3600_000;
/** ms for the installed command to print its version. */
const VERSION_TIMEOUT = 30_000;

/** Thrown if nothing can be installed. */
export class NotInstalled extends Error {
  readonly problem: InstallProblem;
  /** The obstructing file or folder, or the system's message. */
  readonly about: string;

  constructor(problem: InstallProblem, about: string) {
    super(`${problem} ${about}`);
    this.problem = problem;
    this.about = about;
  }
}

export interface Installation {
  version: string;
  /** SHA-256 of the bundle, hexadecimal */
  digest: string;
  /** SHA-256 of the initiator's bundle.json */
  factsDigest: string;
  /** Receives the compressed bundle and bundle.json; returns undefined if the initiator has disconnected. */
  receive: () => { packed: Buffer; facts: Buffer } | undefined;
  onStep: (step: SetupStep) => void;
}

/**
 * Installs docker-over-ssh for this user. Returns false if the initiator has disconnected before the end. Writes the launcher last, and each file
 * atomically. If it throws {@link NotInstalled}, it has restored the previous state.
 */
export function installOnHost(installation: Installation, env: NodeJS.ProcessEnv): boolean {
  const home = homeFolder(env);
  // The home folder comes from the system, so it may be a link.
  if (home === undefined || statSync(home, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new NotInstalled("no-home", home ?? "");
  const createdFolders: string[] = [];
  const share = join(home, SHARE_FOLDER, NAME);
  try {
    for (const folder of [".local", BIN_FOLDER, SHARE_FOLDER]) useFolder(join(home, folder), createdFolders);
    const launcher = join(home, BIN_FOLDER, NAME);
    const before = readLauncher(launcher);
    if (lstatSync(share, { throwIfNoEntry: false }) === undefined) createdFolders.push(share);
    if (install(installation, { share, launcher, before })) return true;
  } catch (error) {
    removeEmpty(createdFolders);
    throw asNotInstalled(error, share);
  }
  removeEmpty(createdFolders);
  return false;
}

function install(
  { version, digest, factsDigest, receive, onStep }: Installation,
  { share, launcher, before }: { share: string; launcher: string; before: string | undefined },
): boolean {
  const opened = openPrivateFolder(share, { make: true });
  const name = factsDigest.slice(0, 16);
  const isPresent = isWhole(join(opened, name, "dist"), digest, factsDigest);
  if (!isPresent) {
    const received = receive();
    if (received === undefined) return false;
    writeBundle(opened, name, received, { digest, factsDigest });
  }
  try {
    const text = launcherText({ version, node: process.execPath, start: join(share, name, "dist", "start.cjs") });
    if (text !== before) replace(launcher, text);
    checkLauncher(launcher, version);
    onStep({ did: isPresent ? "present" : "written", what: "bundle", name: join(share, name) });
    onStep({ did: text === before ? "present" : "written", what: "launcher", name: launcher });
  } catch (error) {
    if (before === undefined) rmSync(launcher, { force: true });
    else replace(launcher, before);
    if (!isPresent) rmSync(join(opened, name), { recursive: true, force: true });
    throw error;
  }
  removeOthers(opened, name);
  removeParts(launcher);
  return true;
}

/** Creates a folder, or checks that it is a real folder that no other user can change. */
function useFolder(path: string, createdFolders: string[]): void {
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) {
    mkdirSync(path, { mode: 0o755 });
    createdFolders.push(path);
  }
  const found = lstatSync(path);
  if (found.isSymbolicLink()) throw new NotInstalled("link", path);
  if (!found.isDirectory()) throw new NotInstalled("no-folder", path);
  if (!isOwn(found)) throw new NotInstalled("not-own", path);
  if (othersWrite(found)) throw new NotInstalled("open-to-others", path);
}

/**
 * Returns whether other users may write. The user's own group does not count, because many systems give each user a group and umask 002.
 * Any other group exists to share the folder.
 */
function othersWrite({ mode, gid }: Stats): boolean {
  return (mode & ANYBODY_WRITES) !== 0 || ((mode & GROUP_WRITES) !== 0 && gid !== process.getgid?.());
}

/** Reads the launcher of an earlier setup; returns undefined if there is none. */
function readLauncher(path: string): string | undefined {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return undefined;
  const text = found.isFile() && isOwn(found) ? readFileSync(path, "utf8") : "";
  if (!isLauncher(text)) throw new NotInstalled("foreign", path);
  return text;
}

/** Returns whether the folder contains all files of an earlier setup. */
function isWhole(folder: string, digest: string, factsDigest: string): boolean {
  try {
    const facts = readFileSync(join(folder, "bundle.json"));
    const packed = readFileSync(join(folder, "bundle.br"));
    if (digestOf(facts) !== factsDigest || unpack(packed, digest) === undefined) return false;
    if (digestOf(readFileSync(join(folder, commandFile(digest)))) !== digest) return false;
    return readFileSync(join(folder, "start.cjs"), "utf8") === startOf(facts);
  } catch {
    return false;
  }
}

/** Writes the same files as in dist/, so that the installed docker-over-ssh can also be an initiator. */
function writeBundle(
  share: string,
  name: string,
  { packed, facts }: { packed: Buffer; facts: Buffer },
  { digest, factsDigest }: { digest: string; factsDigest: string },
): void {
  const command = unpack(packed, digest);
  if (command === undefined || digestOf(facts) !== factsDigest) throw new NotInstalled("damaged", "");
  const part = join(share, `part-${process.pid}`);
  try {
    mkdirSync(join(part, "dist"), { recursive: true, mode: 0o700 });
    const write = (file: string, content: string | Buffer) =>
      writeFileSync(join(part, "dist", file), content, { flag: "wx", mode: 0o600 });
    write(commandFile(digest), command);
    write("start.cjs", startOf(facts));
    write("bundle.br", packed);
    write("bundle.json", facts);
    rmSync(join(share, name), { recursive: true, force: true });
    renameSync(part, join(share, name));
  } finally {
    rmSync(part, { recursive: true, force: true });
  }
}

/** Returns the file's name, which the build writes into start.cjs. */
function commandFile(digest: string): string {
  return `bundle-${digest.slice(0, 16)}.cjs`;
}

function startOf(facts: Buffer): string {
  return (JSON.parse(facts.toString("utf8")) as { start: string }).start;
}

function replace(launcher: string, text: string): void {
  const part = `${launcher}.${process.pid}`;
  try {
    writeFileSync(part, text, { flag: "wx", mode: 0o755 });
    renameSync(part, launcher);
  } finally {
    rmSync(part, { force: true });
  }
}

/** Runs the launcher once, because programs cannot run in a home folder that is mounted with noexec. */
function checkLauncher(launcher: string, version: string): void {
  let printed: string;
  try {
    printed = execFileSync(launcher, ["--version"], { encoding: "utf8", timeout: VERSION_TIMEOUT, stdio: "pipe" });
  } catch (error) {
    throw new NotInstalled("not-runnable", `${launcher}: ${(error as Error).message}`);
  }
  if (printed.trim() !== version) throw new NotInstalled("not-runnable", `${launcher}: it printed ${printed}`);
}

/** Removes the bundles of other versions, and the leftovers of killed setups. */
function removeOthers(share: string, name: string): void {
  for (const other of readdirSync(share)) {
    const path = join(share, other);
    if (other === name) continue;
    if (other.startsWith("part-") && Date.now() - lstatSync(path).mtimeMs < ABANDONED) continue;
    rmSync(path, { recursive: true, force: true });
  }
}

/** Removes the temporary launchers of killed setups (`replace`). They are complete or empty, because a launcher is written at once. */
function removeParts(launcher: string): void {
  const folder = dirname(launcher);
  const form = new RegExp(`^${NAME}\\.\\d+$`);
  for (const other of readdirSync(folder)) {
    if (!form.test(other)) continue;
    const path = join(folder, other);
    const found = lstatSync(path);
    if (!found.isFile() || !isOwn(found) || Date.now() - found.mtimeMs < ABANDONED) continue;
    if (found.size === 0 || isLauncher(readFileSync(path, "utf8"))) rmSync(path);
  }
}

function removeEmpty(folders: readonly string[]): void {
  for (const folder of folders.toReversed()) {
    try {
      rmdirSync(folder);
    } catch {
      // no longer empty
    }
  }
}

function asNotInstalled(error: unknown, share: string): unknown {
  if (error instanceof NotInstalled) return error;
  if (error instanceof UnsafeFolder) return new NotInstalled("unsafe", error.message);
  const { code = "", path = share, message } = error as NodeJS.ErrnoException;
  const shown = path.startsWith("/proc/") ? share : path;
  if (isNoSpace(error)) return new NotInstalled("no-space", shown);
  if (["EACCES", "EPERM", "EROFS"].includes(code)) return new NotInstalled("no-permission", shown);
  return new NotInstalled("error", message);
}
