import { lstat, readdir, readlink, rm } from "node:fs/promises";
import { join } from "node:path";
import { CONTEXTS_FOLDER, freePieceStores } from "../build-context/delta/stored-context.ts";
import { KNOWN_PIECES_FOLDER } from "../build-context/delta/known-pieces.ts";
import type { EngineEndpoint } from "../engine/connect/endpoint.ts";
import type { EngineContainers } from "../engine/engine-containers.ts";
import type { Engine } from "../engine/engine.ts";
import { findLeftovers, removeLeftover } from "../engine/leftovers.ts";
import { connectEngine } from "../engine/open/connect-engine.ts";
import { allocatedBytes } from "../files/allocated-bytes.ts";
import { cacheFolder } from "../files/cache-folder.ts";
import { isOwn, openPrivateFolder, UnsafeFolder } from "../files/private-folder.ts";
import { removeFolder } from "../files/remove-folder.ts";
import { Failure } from "../output/errors.ts";
import type { SetupStep, SetupThing } from "../output/setup-steps.ts";
import { isLeftover, isRunId, REMOTE_LABEL } from "../run/run-id.ts";
import { SPOOL_PREFIX } from "../run/spool-folder.ts";
import { freeFiles, RESUME_CACHE_FOLDER } from "../store/resume-cache-files.ts";
import type { Context } from "../transfer.ts";

export interface PruneOptions {
  /** The address in -H or DOCKER_HOST; undefined: the docker context decides. */
  endpoint: EngineEndpoint | undefined;
  isDryRun: boolean;
  /** ms: files that were changed later stay. */
  olderThan: number;
}

/** A file or folder that no run uses. */
interface Garbage {
  what: SetupThing;
  /** Its path, relative to the cache folder */
  name: string;
  bytes: number;
  modifiedAt: number;
  remove(): Promise<void>;
}

/** ms for which a half-written file may still belong to a running process. */
const ABANDONED = 3600_000;

/** Removes from this machine the files that earlier runs have cached or left behind, except those in use. Throws a Failure for an unsafe folder. */
export async function pruneThisSide(options: PruneOptions, context: Context): Promise<void> {
  const { isDryRun, olderThan } = options;
  const did = isDryRun ? "would-remove" : "removed";
  const path = cacheFolder(context.env);
  let freed = 0;
  for (const garbage of path === undefined ? [] : await garbageIn(path)) {
    context.signal.throwIfAborted();
    if (Date.now() - garbage.modifiedAt < olderThan) continue;
    if (!isDryRun) await garbage.remove();
    freed += garbage.bytes;
    context.output.note({
      code: "setup-step",
      step: { did, what: garbage.what, name: join(path ?? "", garbage.name) },
    });
  }
  await pruneEngine(options, context);
  context.output.note({ code: "pruned", bytes: freed, isDryRun });
}

async function garbageIn(path: string): Promise<Garbage[]> {
  if ((await lstat(path).catch(() => undefined)) === undefined) return [];
  const folder = openSafely(path);
  const names = await readdir(folder);
  const running = await runningFiles();
  const files = [...names, ...(await readdir(join(folder, "code")).catch(() => [])).map((name) => join("code", name))];
  const own = await Promise.all(files.map(async (name) => await ownFileIn(folder, name)));
  const spools = names.filter((name) => name.startsWith(SPOOL_PREFIX));
  return [
    ...(await partialLayers(folder)),
    ...(await storedContexts(folder)),
    ...(await Promise.all(spools.map(async (name) => await deadSpool(folder, name)))),
    ...own.filter((file) => file !== undefined && !running.has(join(path, file.name))),
  ].filter((garbage) => garbage !== undefined);
}

function openSafely(path: string): string {
  try {
    return openPrivateFolder(path, { make: false });
  } catch (error) {
    if (!(error instanceof UnsafeFolder)) throw error;
    throw new Failure("no-space", `the cache folder is not safe to use: ${error.message}`, {
      expected: "a folder of this user that no other user may write to",
      hint: "Remove it, or change its owner and mode.",
      cause: error,
    });
  }
}

async function partialLayers(folder: string): Promise<Garbage[]> {
  return (await freeFiles(join(folder, RESUME_CACHE_FOLDER))).map(({ path, allocated, modifiedAt }) => ({
    what: "file",
    name: path.slice(folder.length + 1),
    bytes: allocated,
    modifiedAt,
    remove: async () => await rm(path, { force: true }),
  }));
}

/** Returns the stored contexts of builds, and the known pieces of sent files. A build that reads a context holds it open, so it is not free. */
async function storedContexts(folder: string): Promise<Garbage[]> {
  const stores = (await freePieceStores(join(folder, CONTEXTS_FOLDER))).map(({ path, bytes, usedAt }): Garbage => ({
    what: "context",
    name: path.slice(folder.length + 1),
    bytes,
    modifiedAt: usedAt,
    remove: async () => await rm(path, { force: true }),
  }));
  const known = (await readdir(join(folder, KNOWN_PIECES_FOLDER)).catch(() => [])).map((name) =>
    join(KNOWN_PIECES_FOLDER, name),
  );
  const files = await Promise.all(known.map(async (name) => await ownFileIn(folder, name)));
  return [...stores, ...files.filter((file) => file !== undefined)];
}

async function deadSpool(folder: string, name: string): Promise<Garbage | undefined> {
  const runId = name.slice(SPOOL_PREFIX.length, name.lastIndexOf("-"));
  const path = join(folder, name);
  const found = await lstat(path).catch(() => undefined);
  if (!isRunId(runId) || !isLeftover([runId]) || !found?.isDirectory() || !isOwn(found)) return undefined;
  const files = await Promise.all(
    (await readdir(path).catch(() => [])).map(async (file) => await lstat(join(path, file)).catch(() => undefined)),
  );
  const bytes = files.reduce((sum, file) => sum + (file === undefined ? 0 : allocatedBytes(file)), 0);
  return { what: "spool", name, bytes, modifiedAt: found.mtimeMs, remove: async () => await removeFolder(path) };
}

/** Returns any other file of this user: bundles, Nodes, compiled code. */
async function ownFileIn(folder: string, name: string): Promise<Garbage | undefined> {
  const path = join(folder, name);
  const found = await lstat(path).catch(() => undefined);
  if (!found?.isFile() || !isOwn(found)) return undefined;
  const isHalf = /\.(?:part|\d+(?:-\w+)?)$/.test(name);
  if (isHalf && Date.now() - found.mtimeMs < ABANDONED) return undefined;
  const remove = async (): Promise<void> => await rm(path, { force: true });
  return { what: "file", name, bytes: allocatedBytes(found), modifiedAt: found.mtimeMs, remove };
}

/** Returns the files of all running programs: a Node in the cache folder may be one of them (Linux, proc_pid_exe(5)). */
async function runningFiles(): Promise<Set<string>> {
  const pids = (await readdir("/proc").catch(() => [])).filter((name) => /^\d+$/.test(name));
  const files = await Promise.all(pids.map(async (pid) => await readlink(`/proc/${pid}/exe`).catch(() => "")));
  return new Set(files);
}

/** Removes leftovers from the engine of this side. If there is no engine, there are none. */
async function pruneEngine(options: PruneOptions, { env, signal, output }: Context): Promise<void> {
  let engine: Engine;
  try {
    engine = await connectEngine(options.endpoint, env, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof Failure) || error.code !== "engine-unreachable") throw error;
    return output.note({ code: "engine-not-pruned", reason: error.message });
  }
  await using _ = engine;
  const report = (step: SetupStep): void => output.note({ code: "setup-step", step });
  const did = options.isDryRun ? "would-remove" : "removed";
  for await (const leftover of findLeftovers(engine)) {
    if (!options.isDryRun) await removeLeftover(engine, leftover);
    report({ did, what: leftover.kind, name: leftover.kind === "container" ? leftover.id : leftover.reference });
  }
  await pruneContainers(engine, options, report);
}

/**
 * Removes the leftovers of remote sides that ran in containers of this engine, as on a host (remote/setup/uninstall-script.ts): stopped containers,
 * and the volume with their cache folder. With --older-than the volume stays, because the age of its files is not known.
 */
async function pruneContainers(
  engine: EngineContainers,
  { isDryRun, olderThan }: PruneOptions,
  report: (step: SetupStep) => void,
): Promise<void> {
  const did = isDryRun ? "would-remove" : "removed";
  const inUse = { did: "left", reason: "in-use" } as const;
  let isUsed = false;
  for (const { id, isRunning } of await engine.findContainers(REMOTE_LABEL)) {
    isUsed ||= isRunning;
    if (!isRunning && !isDryRun) await engine.removeContainer(id);
    report({ ...(isRunning ? inUse : { did }), what: "container", name: id });
  }
  if (olderThan > 0) return;
  for (const name of await engine.findVolumes(REMOTE_LABEL)) {
    const isRemoved = isDryRun ? !isUsed : await engine.removeVolume(name);
    report({ ...(isRemoved ? { did } : inUse), what: "volume", name });
  }
}
