import { temporaryName } from "../run/run-id.ts";
import { isDigest } from "../image/digest.ts";
import type { ImageName } from "../image/image-name.ts";
import { MAX_CONFIG } from "../image/config.ts";
import type { ContentStore } from "../engine/content-store.ts";
import type { Engine, EngineInfo } from "../engine/engine.ts";
import type { ImageInfo } from "../engine/engine-images.ts";
import { removeLeftovers } from "../engine/leftovers.ts";
import { Failure } from "../output/errors.ts";
import type { RegistryChoice } from "../registry/temporary-registry.ts";
import { readManifest } from "../store/read-manifest.ts";
import { memoize, memoizeByKey } from "../streams/memoize.ts";
import type { StoredImage } from "./found-image.ts";
import { agreeOnName } from "./agree-on-name.ts";
import { serveFromEngine } from "./serve-from-engine.ts";
import type { Asked, Source } from "./source.ts";

/** An engine to send an image from, by way of the chosen registry. Owns the engine. */
export function engineSource(engine: Engine, choice: RegistryChoice | { kind: "embedded" }, named: ImageName): Source {
  const info = memoize(() => engine.info());
  const content = memoize(async () =>
    (await info()).store === "containerd" ? await engine.contentStore() : undefined,
  );
  const leftovers = memoize(() => removeLeftovers(engine));
  /** For a platform, or the engine's own choice: what it is at the first look counts for all of the transfer. */
  const inspected = memoizeByKey((platform) => inspect(engine, named.given, platform === "" ? undefined : platform));
  const storedOf = memoizeByKey(
    async (platform) => await storedImage(await content(), engine, await inspected(platform)),
  );
  return {
    address: engine.address,
    get moved() {
      return engine.moved;
    },
    async check(platform = "") {
      const checked = inspected(platform);
      for (const ask of [info, leftovers, async () => await storedOf(platform)]) ask().catch(() => {}); // for later
      await checked;
    },
    async find(wanted) {
      const mayBeId = (named.digits ?? wanted.image.digits) !== undefined;
      const image = agreeOnName(named, mayBeId ? await inspected("") : undefined, wanted);
      const engineInfo = await info();
      const { variant, onlyPlatform } = await chooseVariant(engine, engineInfo, inspected, {
        ...wanted,
        given: named.given,
      });
      const found = await inspected(variant);
      const isContainerd = engineInfo.store === "containerd";
      const stored = isContainerd ? await storedOf(variant) : undefined;
      // On a containerd store the ID is that of a manifest or an index.
      const configDigest = isContainerd ? stored?.manifest.config.digest : found.id;
      return {
        diffIds: found.diffIds,
        platform: found.platform,
        ...(isDigest(configDigest) && { configDigest }),
        ...(isContainerd && {
          async manifest(runs) {
            const name = temporaryName("localhost", `${image.path}/manifest`, runs);
            return stored?.manifest ?? (await readManifest(engine, found, name));
          },
        }),
        async offer(options) {
          for (const leftover of await leftovers()) {
            options.output.detail(`removed ${leftover}, left by a run that was killed`);
          }
          const all = { ...options, engine, engineInfo, image, info: found, onlyPlatform, stored };
          if (choice.kind === "embedded") return await serveFromEngine(all);
          const { serveFromStandaloneRegistry } = await import("./serve-from-standalone-registry.ts");
          return await serveFromStandaloneRegistry(choice, all);
        },
      };
    },
    [Symbol.asyncDispose]: async () => await engine[Symbol.asyncDispose](),
  };
}

/** Undefined where the engine does not tell the image's manifest and config so. */
async function storedImage(
  content: ContentStore | undefined,
  engine: Engine,
  info: ImageInfo,
): Promise<StoredImage | undefined> {
  if (content === undefined) return undefined;
  const manifest = await readManifest(engine, info, "");
  const config = manifest && (await content.readSmall(manifest.config.digest, MAX_CONFIG));
  return manifest && config && { content, manifest, config };
}

/** Of an image with several variants, the one that was named; else the one that runs at the receiver, if it is here. */
async function chooseVariant(
  engine: Engine,
  { store }: EngineInfo,
  inspected: (platform: string) => Promise<ImageInfo>,
  { given, platform, runs }: Asked & { given: string },
): Promise<{ variant: string; onlyPlatform: boolean }> {
  const info = await inspected(platform ?? "");
  if (platform !== undefined) return { variant: platform, onlyPlatform: true };
  if (runs === undefined || store !== "containerd" || info.platform === runs)
    return { variant: "", onlyPlatform: false };
  const fitting = await engine.inspectImage(given, runs);
  const isOther = fitting !== undefined && fitting.platform !== info.platform;
  return isOther ? { variant: runs, onlyPlatform: true } : { variant: "", onlyPlatform: false };
}

async function inspect(engine: Engine, given: string, platform: string | undefined): Promise<ImageInfo> {
  const found = await engine.inspectImage(given, platform);
  if (found !== undefined) return found;
  const other = platform === undefined ? undefined : await engine.inspectImage(given);
  if (other !== undefined) {
    throw new Failure("image-not-found", `${given} is here for ${other.platform}, not for ${platform}`, {
      expected: `a variant for ${platform} in ${engine.address}`,
      hint: `Build or pull it with --platform ${platform}, or leave --platform out.`,
    });
  }
  throw new Failure("image-not-found", `there is no image ${given} in ${engine.address}`, {
    expected: "an image that `docker images` lists; of an ID, all digits, or as many as no other image's begins with",
    hint: "Build or tag it first; another engine is chosen with -H, DOCKER_HOST or a docker context.",
  });
}
