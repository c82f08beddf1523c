import { agreeOnVersion } from "../api/agree-on-version.ts";
import { isAtLeast } from "../compare-versions.ts";
import { readConfig } from "../buildkit/read-config.ts";
import { findContainers, removeContainer, runContainer, usedImages } from "../api/containers.ts";
import { findVolumes, removeVolume } from "../api/volumes.ts";
import { type ApiOptions, type DockerApi, openApi } from "../api/docker-api.ts";
import { describeEndpoint, isOneStream, mayReachUs, type EngineEndpoint } from "../connect/endpoint.ts";
import { memoize } from "../../streams/memoize.ts";
import type { Engine, EngineInfo } from "../engine.ts";
import type { EngineContent } from "../engine-content.ts";
import type { EngineContainers } from "../engine-containers.ts";
import type { EngineImages } from "../engine-images.ts";
import { dataFolder, type DataFolderInfo } from "../api/data-folder.ts";
import { diskUsage } from "../api/disk-usage.ts";
import type { BuilderKind, BuildOrder, EngineBuilder } from "../engine-builder.ts";
import { refuseUnenforcedLimits } from "../build/unenforced-limits.ts";
import { pruneBuildCache } from "../build/prune-builds.ts";
import { publishImage } from "../build/publish-image.ts";
import { imageEvents } from "../api/image-events.ts";
import { openImageFiles } from "../api/image-files.ts";
import { pullImage, pushImage, saveImage } from "../api/image-transfers.ts";
import {
  inspectImage,
  listedSize,
  layersSize,
  listImageIds,
  listTagged,
  listReferences,
  newestOf,
  removeDigestReferences,
  removeReference,
  removeUntagged,
  stepSizes,
  tagImage,
} from "../api/images.ts";
import { loadImage } from "../api/load-image.ts";
import { LOAD_PLATFORM } from "../api/platform-query.ts";

/**
 * Connects to an engine and agrees on the API version. The caller owns the engine; disposing closes every connection, ends open requests,
 * and waits until ssh has ended. Only an open request keeps the process alive.
 *
 * @param signal Aborting it ends all requests that leave nothing behind in the engine, including this call. Requests that remove objects
 *   still work afterwards.
 * @throws Failure `engine-unreachable`, or the signal's reason
 */
export async function openEngine(
  endpoint: EngineEndpoint,
  signal?: AbortSignal,
  options: Omit<ApiOptions, "signal"> = {},
): Promise<Engine> {
  const api = await openApi(endpoint, { ...options, signal });
  try {
    const version = await agreeOnVersion(api);
    api.version = version;
    return engineOver(api, version);
  } catch (error) {
    await api[Symbol.asyncDispose]();
    throw error;
  }
}

function engineOver(api: DockerApi, apiVersion: string): Engine {
  const version = memoize(async () => (await api.json("GET", "/version")) as VersionAnswer);
  const isPodman = async (): Promise<boolean> => namesPodman(await version());
  return {
    address: describeEndpoint(api.endpoint),
    get moved() {
      return api.moved;
    },
    reachesUs: mayReachUs(api.endpoint.address),
    takesManyAtOnce: !isOneStream(api.endpoint.address),
    info: () => readInfo(api, apiVersion, version),
    ...imagesOf(api, apiVersion, isPodman),
    ...containersOf(api),
    ...contentOf(api),
    ...builderOf(api, version),
    [Symbol.asyncDispose]: () => api[Symbol.asyncDispose](),
  };
}

function imagesOf(api: DockerApi, apiVersion: string, isPodman: () => Promise<boolean>): EngineImages {
  return {
    checksLoads: isAtLeast(apiVersion, LOAD_PLATFORM),
    inspectImage: (reference, platform) => inspectImage(api, reference, platform),
    // Podman interprets such patterns differently.
    listReferences: async (patterns) => listReferences(api, patterns && (await isPodman()) ? undefined : patterns),
    // Podman's filter only finds names in the stored form, with the host.
    listTagged: async (repository) => await listTagged(api, (await isPodman()) ? undefined : repository),
    imageEvents: (signal) => imageEvents(api, signal),
    layersSize: () => layersSize(api),
    diskUsage: (signal) => diskUsage(api, signal),
    listImageIds: () => listImageIds(api),
    newestOf: (repository) => newestOf(api, repository),
    stepSizes: (reference) => stepSizes(api, reference),
    listedSize: (reference) => listedSize(api, reference),
    // Every Docker accepts gzip; Podman (4.3) reads a docker archive as a plain tar only.
    loadImage: (archive, platform, onProgress) =>
      loadImage(api, archive, platform, async () => !(await isPodman()), onProgress),
    saveImage: (reference, options = {}) => saveImage(api, reference, options),
    pullImage: (reference, options = {}) => pullImage(api, reference, options),
    pushImage: async (reference, options = {}) => void (await pushImage(api, reference, options)),
    tagImage: (source, target) => tagImage(api, source, target),
    removeReference: (reference) => removeReference(api, reference),
    removeDigestReferences: (repository) => removeDigestReferences(api, repository),
    removeUntagged: (label) => removeUntagged(api, label),
  };
}

function containersOf(api: DockerApi): EngineContainers {
  return {
    runContainer: (spec) => runContainer(api, spec),
    openFiles: (image, labels, signal) => openImageFiles(api, image, labels, signal),
    findContainers: (label) => findContainers(api, label),
    usedImages: () => usedImages(api),
    removeContainer: (id) => removeContainer(api, id),
    findVolumes: (label) => findVolumes(api, label),
    removeVolume: (name) => removeVolume(api, name),
  };
}

function contentOf(api: DockerApi): EngineContent {
  return {
    readConfig: (image, version, signal) => readConfig(api, image, version, signal),
    contentStore: memoize(async () => {
      const { openContentStore } = await import("../buildkit/open-content-store.ts"); // loads the gRPC library
      return await openContentStore(api);
    }),
  };
}

function builderOf(api: DockerApi, version: () => Promise<VersionAnswer>): EngineBuilder {
  const builder = async (): Promise<BuilderKind> => {
    const found = await version();
    if (namesPodman(found)) return "buildah";
    return found.Os === "linux" ? "buildkit" : "classic"; // every Docker since 18.09 has BuildKit in addition to the classic builder
  };
  return {
    builder,
    build: async (order, context, options) => {
      const { buildImage } = await import("../build/build-image.ts"); // loads the tar library
      const kind = options.builder ?? builderFor(order, await builder());
      if (order.memory !== undefined || order.cpus !== undefined) await refuseUnenforcedLimits(api, order);
      return await buildImage(api, kind, order, context, options);
    },
    check: async (order, context, options) => {
      const { checkBuild } = await import("../build/check-build.ts"); // loads the gRPC library
      const checker = { kind: await builder(), version: (await version()).Version };
      return await checkBuild(api, checker, order, context, options);
    },
    publish: async (reference, options) => await publishImage(api, reference, options),
    pruneBuildCache: async (keep) => ((await builder()) === "buildah" ? 0 : await pruneBuildCache(api, keep)),
  };
}

/**
 * Returns the classic builder for an order with limits: BuildKit ignores the limits of `POST /build`, the classic builder applies them to
 * the steps' containers (moby `builder/dockerfile/internals.go`).
 */
function builderFor({ memory, cpus }: BuildOrder, usual: BuilderKind): BuilderKind {
  return usual === "buildkit" && (memory !== undefined || cpus !== undefined) ? "classic" : usual;
}

interface VersionAnswer {
  Version: string;
  Os: string;
  Arch: string;
  Components?: { Name: string }[];
}

function namesPodman({ Components }: VersionAnswer): boolean {
  return Components?.some(({ Name }) => Name === "Podman Engine") ?? false;
}

async function readInfo(
  api: DockerApi,
  apiVersion: string,
  readVersion: () => Promise<VersionAnswer>,
): Promise<EngineInfo> {
  const [version, info] = await Promise.all([readVersion(), api.json("GET", "/info")]);
  const { Version, Os, Arch } = version;
  const { DriverStatus, ...data } = info as { DriverStatus?: [string, string][] | null } & DataFolderInfo;
  const isContainerd =
    DriverStatus?.some(([key, value]) => key === "driver-type" && value === "io.containerd.snapshotter.v1") ?? false;
  return {
    version: Version,
    apiVersion,
    store: namesPodman(version) ? "podman" : isContainerd ? "containerd" : "graphdriver",
    platform: { os: Os, architecture: Arch }, // `/info` has the kernel's name, x86_64
    dataFolder: mayReachUs(api.endpoint.address) ? dataFolder(data, isContainerd) : undefined,
  };
}
