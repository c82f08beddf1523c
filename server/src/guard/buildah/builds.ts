import { join } from "node:path";
import type { Readable } from "node:stream";
import type { ApiObject, BackendBuilds } from "../backend.ts";
import type { BuildRequest } from "../build-request.ts";
import type { Caller } from "../caller.ts";
import { forgetImages, imagesInLedger, recordImages } from "../ledger/ledger-images.ts";
import { Refusal } from "../refusal.ts";
import { buildArguments, checkRequest, namesOf, variablesOf } from "./build-arguments.ts";
import { errorLine, streamLine } from "./build-line.ts";
import { unpackContext } from "./context-folder.ts";
import { readExternalSources } from "./external-sources.ts";
import { openCallFolder, type CallFolder, type OpenHome } from "./homes.ts";
import { dockerName } from "./image-objects.ts";
import { openBuildNetwork } from "./build-network.ts";
import { bare } from "./images.ts";
import { cgroupOf, countImages, homeOf, run, type BuildahDependencies, type Naming } from "./dependencies.ts";
import { pruneCache } from "./prune.ts";
import { checkAddresses, pullBases } from "./pull-bases.ts";
import { BuildahError } from "./run-buildah.ts";
import { writeVariables } from "./variables.ts";

type OnLine = (line: ApiObject) => void;

/** Returns the builds of a backend that runs buildah. */
export function createBuilds(dependencies: BuildahDependencies): BackendBuilds {
  const byId = new Map<string, AbortController>();
  const keyOf = ({ tenant }: Caller, buildId: string): string => `${tenant.id} ${buildId}`;
  return {
    async build(caller, request, context, onLine) {
      checkRequest(request, dependencies.setup);
      const names = namesOf(request.names);
      if (context === undefined) throw new Refusal("build.context", "the build has no context", { statusCode: 400 });
      caller.note.about ??= names.map(dockerName);
      const failure = await buildInSlot(caller, request, names, context, onLine);
      // docker exits at this line, and its user may start the next build at once. Therefore the slot is already free.
      if (failure !== undefined) onLine(failure);
    },
    prune: async (caller) => await pruneCache(dependencies, caller, await homeOf(dependencies, caller)),
    async cancel(caller, buildId) {
      byId
        .get(keyOf(caller, buildId))
        ?.abort(new Refusal("build.cancelled", "the build was cancelled", { statusCode: 499 }));
    },
  };

  async function buildInSlot(
    caller: Caller,
    request: BuildRequest,
    names: readonly string[],
    context: Readable,
    onLine: OnLine,
  ): Promise<ApiObject | undefined> {
    await using slot = await dependencies.limits.startBuild(caller.tenant);
    const stop = new AbortController();
    const signal = AbortSignal.any([caller.signal, slot.signal, stop.signal]);
    const key = request.buildId === undefined ? undefined : keyOf(caller, request.buildId);
    const home = await homeOf(dependencies, caller);
    await clean(dependencies, home);
    home.builds.add(stop);
    if (key !== undefined) byId.set(key, stop);
    try {
      return await build(dependencies, { ...caller, signal }, home, { request, names, context, onLine });
    } catch (error) {
      home.isClean = false;
      throw error;
    } finally {
      if (key !== undefined) byId.delete(key);
      home.builds.delete(stop);
      await clean(dependencies, home);
    }
  }
}

/** Removes the containers that earlier builds have left, unless a build of the tenant is running. */
async function clean(dependencies: BuildahDependencies, home: OpenHome): Promise<void> {
  if (!home.isClean && home.builds.size === 0) {
    home.isClean = true;
    home.ready = run(dependencies, home, ["rm", "--all"], { signal: AbortSignal.timeout(60_000) }).then(
      () => {},
      () => void (home.isClean = false),
    );
  }
  await home.ready;
}

interface Work {
  request: BuildRequest;
  /** Full names */
  names: readonly string[];
  context: Readable;
  onLine: OnLine;
}

/** Runs a build. Returns the error line if it fails. */
async function build(
  dependencies: BuildahDependencies,
  caller: Caller,
  home: OpenHome,
  work: Work,
): Promise<ApiObject | undefined> {
  const { request, names, onLine } = work;
  const { tenant, signal } = caller;
  await using call = await openCallFolder(home);
  const external = await openContext(dependencies, caller, home, call, work);
  await using cgroup = await cgroupOf(dependencies, caller, call);
  const options = { signal, cgroupFiles: cgroup.files, call: call.name };
  const print = (text: string): void => {
    if (!request.quiet) onLine({ stream: text });
  };
  try {
    await pullBases(dependencies, caller, home, request, external.images, {
      ...options,
      onLine: (line) => print(`${line}\n`),
    });
    await using network = await openBuildNetwork(dependencies, caller, home, request, external.addresses.length > 0);
    await writeVariables(join(call.path, "variables"), home.user, variablesOf(request));
    let last = "";
    await run(dependencies, home, buildArguments(request, tenant, dependencies.setup, network.steps), {
      ...options,
      network: network.sandbox,
      onLine: (line, from) => {
        if (from === "stdout") last = line;
        const text = streamLine(line);
        if (text !== undefined) print(text);
      },
    });
    const id = `sha256:${/^[0-9a-f]{64}$/.exec(last)?.[0] ?? ""}`;
    if (id === "sha256:") throw new Error("buildah does not report which image it has built");
    await takeOver(dependencies, caller, home, { id, names });
    reportBuilt(dependencies, caller, id, names, { onLine, quiet: request.quiet });
    return undefined;
  } catch (error) {
    if (!(error instanceof BuildahError)) throw error;
    home.isClean = false;
    return errorLine(error.message, cgroup.ranOutOfMemory());
  }
}

/** Unpacks the context, and refuses addresses that its Dockerfile may not fetch. */
async function openContext(
  { env }: BuildahDependencies,
  { tenant, signal }: Caller,
  { user }: OpenHome,
  { path }: CallFolder,
  { request, context }: Work,
): Promise<ReturnType<typeof readExternalSources>> {
  const { dockerfile, buildArgs } = request;
  const limit = tenant.quotas.context;
  const text = await unpackContext(context, join(path, "context"), dockerfile, { user, limit, env, signal });
  if (text === undefined) {
    throw new Refusal("build.dockerfile", `Cannot locate specified Dockerfile: ${dockerfile}`, { statusCode: 400 });
  }
  const external = readExternalSources(text, buildArgs);
  checkAddresses(external, tenant.policy);
  return external;
}

/**
 * Records an image as the tenant's, and names it. Removes an image beyond the quotas, unless the tenant had it before, because a build may create the same
 * image again.
 */
async function takeOver(
  dependencies: BuildahDependencies,
  caller: Caller,
  home: OpenHome,
  naming: Naming,
): Promise<void> {
  const { tenant, signal } = caller;
  const { id, names } = naming;
  const own = await dependencies.images.own(home, signal);
  const isKnown = imagesInLedger(dependencies.ledger, tenant.id).has(id) || own.some((image) => image.id === id);
  try {
    await recordImages(dependencies.ledger, tenant.id, [{ id, created: Date.now() }]);
    const { images, bytes } = await countImages(dependencies, caller, home, naming);
    dependencies.limits.checkImages(tenant, images, bytes);
    if (names.length > 0) await run(dependencies, home, ["tag", bare(id), ...names], { signal });
  } catch (error) {
    if (!isKnown) {
      await run(dependencies, home, ["rmi", "--force", id], { signal });
      await forgetImages(dependencies.ledger, tenant.id, [id]);
    }
    await countImages(dependencies, caller, home);
    throw error;
  }
}

function reportBuilt(
  { events }: BuildahDependencies,
  { tenant }: Caller,
  id: string,
  names: readonly string[],
  { onLine, quiet }: { onLine: OnLine; quiet: boolean },
): void {
  for (const name of names) events.emit(tenant.id, "tag", id, dockerName(name));
  if (quiet) return onLine({ stream: `${id}\n` });
  onLine({ aux: { ID: id } });
  onLine({ stream: `Successfully built ${id.slice("sha256:".length, "sha256:".length + 12)}\n` });
  for (const name of names) onLine({ stream: `Successfully tagged ${dockerName(name)}\n` });
}
