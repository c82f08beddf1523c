import { temporaryName } from "../../run/run-id.ts";
import { isDigest } from "../../image/digest.ts";
import type { Reference } from "../../image/reference.ts";
import type { PlatformChoice } from "../../image/index-content.ts";
import type { ImageName } from "../../image/image-name.ts";
import { MAX_CONFIG } from "../../image/config.ts";
import type { ContentStore } from "../../engine/content-store.ts";
import type { Engine, EngineInfo } from "../../engine/engine.ts";
import type { ImageInfo } from "../../engine/engine-images.ts";
import { removeLeftovers } from "../../engine/leftovers.ts";
import type { Leftover } from "../../output/details.ts";
import { Failure } from "../../output/errors.ts";
import type { RegistryChoice } from "../../registry/temporary-registry.ts";
import { readManifest } from "../../store/read-manifest.ts";
import { memoize, memoizeByKey } from "../../streams/memoize.ts";
import type { EngineOfferOptions, StoredImage } from "./engine-offer-options.ts";
import type { FoundImage, OfferOptions } from "../found-image.ts";
import { agreeOnName } from "./agree-on-name.ts";
import { serveFromEmbeddedRegistry } from "../serve-from-embedded-registry.ts";
import { serveFromEngine } from "./serve-from-engine.ts";
import type { ServedImage } from "../served-image.ts";
import { foundIndex } from "../serve-index.ts";
import type { RequestedImage, Source, WantedPlatforms } from "../source.ts";
import { storedLayerFailure } from "./export-from-content-store.ts";
import { indexInEngine, type StoredIndex } from "./index-in-engine.ts";
import { formatPlatform, isSamePlatform, type Platform } from "../../image/platform.ts";

/** Opens an engine as a source that sends an image through the chosen registry. Owns the engine. */
export function engineSource(engine: Engine, choice: RegistryChoice | { kind: "embedded" }, named: ImageName): Source {
  return new EngineSource(engine, choice, named);
}

class EngineSource implements Source {
  readonly address: string;
  readonly #engine: Engine;
  readonly #choice: RegistryChoice | { kind: "embedded" };
  readonly #named: ImageName;
  readonly #engineInfo: () => Promise<EngineInfo>;
  readonly #leftovers: () => Promise<readonly Leftover[]>;
  /** By platform; undefined stands for the engine's own choice. The first answer is used for the whole transfer. */
  readonly #inspected: (platform: Platform | undefined) => Promise<ImageInfo>;
  readonly #storedImage: (platform: Platform | undefined) => Promise<StoredImage | undefined>;
  /** The image with several platforms. The first answer is used for the whole transfer. */
  readonly #index: (platforms: PlatformChoice) => Promise<StoredIndex>;
  /** The plain bytes of the build steps. */
  readonly #stepSizes: () => Promise<number[]>;

  constructor(engine: Engine, choice: RegistryChoice | { kind: "embedded" }, named: ImageName) {
    this.address = engine.address;
    this.#engine = engine;
    this.#choice = choice;
    this.#named = named;
    this.#engineInfo = memoize(async () => await engine.info());
    this.#leftovers = memoize(async () => await removeLeftovers(engine));
    this.#stepSizes = memoize(async () => await engine.stepSizes(named.given));
    this.#inspected = memoizeByKey(async (platform) => await inspect(engine, named.given, platform), textOf);
    const contentStore = memoize(async () =>
      (await this.#engineInfo()).store === "containerd" ? await engine.contentStore() : undefined,
    );
    this.#index = memoizeByKey(
      async (platforms) => await indexInEngine(engine, await this.#engineInfo(), this.#inspected, { named, platforms }),
      (platforms) => JSON.stringify(platforms),
    );
    this.#storedImage = memoizeByKey(
      async (platform) => await readStoredImage(await contentStore(), engine, await this.#inspected(platform)),
      textOf,
    );
  }

  get moved(): number {
    return this.#engine.moved;
  }

  async name(): Promise<ImageName> {
    return await Promise.resolve(this.#named);
  }

  async check({ platform, platforms }: WantedPlatforms): Promise<void> {
    if (platforms !== undefined) return void (await this.#index(platforms));
    const checked = this.#inspected(platform);
    // find() and offer() need these.
    const early = [
      this.#engineInfo,
      async () => await this.#storedImage(platform),
      async () =>
        this.#engine.takesManyAtOnce && (await this.#engineInfo()).store !== "containerd" && this.#stepSizes(),
    ];
    for (const start of early) start().catch(() => {});
    await checked;
  }

  async find(requested: RequestedImage): Promise<FoundImage> {
    const [engine, named] = [this.#engine, this.#named];
    const leftovers = requested.isDryRun ? async () => [] : this.#leftovers;
    leftovers().catch(() => {}); // it is awaited when layers are wanted
    const mayBeId = (named.digits ?? requested.image.digits) !== undefined;
    const image = agreeOnName(named, mayBeId ? await this.#inspected(undefined) : undefined, requested);
    if (requested.platforms !== undefined) return await this.#findIndex(image, requested.platforms, requested);
    const engineInfo = await this.#engineInfo();
    const { platform, onlyPlatform } = await choosePlatform(engine, engineInfo, this.#inspected, named, requested);
    const info = await this.#inspected(platform);
    const isContainerd = engineInfo.store === "containerd";
    const stored = isContainerd ? await this.#storedImage(platform) : undefined;
    // A containerd store's image ID is the digest of a manifest or an index.
    const configDigest = isContainerd ? stored?.manifest.config.digest : info.id;
    return {
      diffIds: info.diffIds,
      platform: info.platform,
      ...(isDigest(configDigest) && { configDigest }),
      sizes: async (mayQueryEngine) => await this.#sizesOf(info, stored, mayQueryEngine),
      isRemote: !engine.takesManyAtOnce,
      ...(isContainerd && {
        async manifest(runIds) {
          const name = temporaryName("localhost", `${image.path}/manifest`, runIds);
          return stored?.manifest ?? (await readManifest(engine, info, name));
        },
      }),
      ...this.#waysToServe(leftovers, (options) => ({
        ...options,
        engine,
        engineInfo,
        image,
        info,
        onlyPlatform,
        stored,
      })),
    };
  }

  async #findIndex(
    image: Reference,
    platforms: PlatformChoice,
    { receiverPlatform }: RequestedImage,
  ): Promise<FoundImage> {
    const toFailure = (error: unknown): unknown => storedLayerFailure(error, image.given);
    const isRemote = !this.#engine.takesManyAtOnce;
    return foundIndex({ ...(await this.#index(platforms)), image, receiverPlatform, isRemote, toFailure });
  }

  /** Returns the bytes of the blobs in a content store; for other stores, the bytes of the files that the build steps have added. */
  async #sizesOf(
    { diffIds }: ImageInfo,
    stored: StoredImage | undefined,
    mayQueryEngine: boolean,
  ): Promise<readonly number[]> {
    const blobs = stored?.manifest.layers.map(({ size }) => size);
    const steps = mayQueryEngine ? this.#stepSizes : async () => [];
    const sizes = blobs ?? (await steps().catch(() => [])).filter((size) => size > 0);
    return sizes.length === diffIds.length ? sizes : [];
  }

  /** @param leftovers removes the leftovers once, and returns them */
  #waysToServe(
    leftovers: () => Promise<readonly Leftover[]>,
    complete: (options: OfferOptions) => EngineOfferOptions,
  ): Pick<FoundImage, "served" | "offer"> {
    const choice = this.#choice;
    const reportLeftovers = async ({ output }: OfferOptions): Promise<void> => {
      for (const leftover of await leftovers()) output.detail({ code: "leftover-removed", leftover });
    };
    if (choice.kind === "embedded") {
      const served = async (options: OfferOptions): Promise<ServedImage> => {
        await reportLeftovers(options);
        return serveFromEngine(complete(options));
      };
      return { served, offer: async (options) => await serveFromEmbeddedRegistry(await served(options), options) };
    }
    return {
      offer: async (options) => {
        await reportLeftovers(options);
        const { serveFromRegistry } = await import("./serve-from-registry.ts");
        return await serveFromRegistry(choice, complete(options));
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#engine[Symbol.asyncDispose]();
  }
}

/** Reads an image's manifest and config from the content store. Returns undefined if there is no content store, or if either is missing. */
async function readStoredImage(
  content: ContentStore | undefined,
  engine: Engine,
  info: ImageInfo,
): Promise<StoredImage | undefined> {
  if (content === undefined) return undefined;
  const manifest = await readManifest(engine, info, "");
  const config = manifest && (await content.readSmall(manifest.config.digest, MAX_CONFIG));
  return manifest && config && { content, manifest, config };
}

/**
 * Chooses among an image's platforms: the requested platform, else the receiver's if the engine has it, else the engine's own choice.
 * `onlyPlatform` means that requests to the engine must name the platform.
 */
async function choosePlatform(
  engine: Engine,
  { store }: EngineInfo,
  inspected: (platform: Platform | undefined) => Promise<ImageInfo>,
  { given }: ImageName,
  { platform: requested, receiverPlatform }: RequestedImage,
): Promise<{ platform: Platform | undefined; onlyPlatform: boolean }> {
  const info = await inspected(requested);
  if (requested !== undefined) return { platform: requested, onlyPlatform: true };
  const enginesChoice = { platform: undefined, onlyPlatform: false };
  if (receiverPlatform === undefined || store !== "containerd" || isSamePlatform(info.platform, receiverPlatform)) {
    return enginesChoice;
  }
  const fitting = await engine.inspectImage(given, receiverPlatform);
  const isOther = fitting !== undefined && !isSamePlatform(fitting.platform, info.platform);
  return isOther ? { platform: receiverPlatform, onlyPlatform: true } : enginesChoice;
}

/** Returns the key of a platform. */
function textOf(platform: Platform | undefined): string {
  return platform === undefined ? "" : formatPlatform(platform);
}

async function inspect(engine: Engine, given: string, platform: Platform | undefined): Promise<ImageInfo> {
  const found = await engine.inspectImage(given, platform);
  if (found !== undefined) return found;
  const other = platform === undefined ? undefined : await engine.inspectImage(given);
  if (platform !== undefined && other !== undefined) {
    const wanted = formatPlatform(platform);
    throw new Failure("image-not-found", `${given} is for ${formatPlatform(other.platform)}, not for ${wanted}`, {
      expected: `the image for ${wanted} in ${engine.address}`,
      hint: `Build or pull it with --platform ${wanted}, or omit --platform.`,
    });
  }
  throw new Failure("image-not-found", `there is no image ${given} in ${engine.address}`, {
    expected: "an image that `docker images` lists; an ID in full, or enough digits to be the only match",
    hint: "Build or tag it first; -H, DOCKER_HOST or a docker context chooses another engine.",
  });
}
