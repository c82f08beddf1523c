import { temporaryName } from "../engine/run-id.ts";
import { isDigest } from "../image/digest.ts";
import { fullName, type Reference } from "../image/reference.ts";
import type { ContentStore } from "../engine/content-store.ts";
import type { Engine, EngineInfo, ImageInfo } from "../engine/engine.ts";
import { removeLeftovers } from "../engine/leftovers.ts";
import { Failure } from "../output/errors.ts";
import type { RegistryChoice } from "../registry/registry.ts";
import { imageManifest } from "../store/image-manifest.ts";
import { once } from "../streams/once.ts";
import type { StoredImage } from "./take-from-content-store.ts";
import { NOTHING } from "./departure.ts";
import { departEmbedded } from "./embedded.ts";
import type { Asked, Source } from "./source.ts";

/** An engine to send an image from, by way of the chosen registry. Owns the engine. */
export function engineSource(engine: Engine, choice: RegistryChoice | { kind: "embedded" }, image: Reference): Source {
  const info = once(() => engine.info());
  const content = once(async () => ((await info()).store === "containerd" ? await engine.contentStore() : undefined));
  const asked = { info, content, leftovers: once(() => removeLeftovers(engine)) };
  return {
    address: engine.address,
    async check(platform) {
      await inspect(engine, image, platform);
      for (const ask of Object.values(asked)) ask().catch(() => {}); // for later, while the far end starts
    },
    async find(wanted) {
      refuseOther(wanted.image, image);
      const engineInfo = await asked.info();
      const { info, onlyPlatform } = await chooseVariant(engine, engineInfo, image, wanted);
      const isContainerd = engineInfo.store === "containerd";
      const stored = isContainerd ? await storedImage(await asked.content(), engine, info) : undefined;
      // On a containerd store the ID is that of a manifest or an index.
      const configDigest = isContainerd ? stored?.manifest.config.digest : info.id;
      return {
        diffIds: info.diffIds,
        platform: info.platform,
        ...(isDigest(configDigest) && { configDigest }),
        ...(isContainerd && {
          async manifest(runs) {
            const name = temporaryName("localhost", `${image.path}/manifest`, runs);
            return stored?.manifest ?? (await imageManifest(engine, info, name));
          },
        }),
        async depart(options) {
          if (options.want.nothing) return NOTHING;
          for (const leftover of await asked.leftovers()) {
            options.output.detail(`removed ${leftover}, left by a run that was killed`);
          }
          const all = { ...options, engine, engineInfo, image, info, onlyPlatform, stored };
          if (choice.kind === "embedded") return await departEmbedded(all);
          const { departByRegistry } = await import("./by-registry.ts");
          return await departByRegistry(choice, all);
        },
      };
    },
    [Symbol.asyncDispose]: async () => await engine[Symbol.asyncDispose](),
  };
}

/** Undefined where the engine does not tell the image's manifest so. */
async function storedImage(
  content: ContentStore | undefined,
  engine: Engine,
  info: ImageInfo,
): Promise<StoredImage | undefined> {
  if (content === undefined) return undefined;
  const manifest = await imageManifest(engine, info, "");
  return manifest && { content, manifest };
}

/** Of an image with several variants, the one that was named; else the one that runs at the receiver, if it is here. */
async function chooseVariant(
  engine: Engine,
  { store }: EngineInfo,
  image: Reference,
  { platform, runs }: Asked,
): Promise<{ info: ImageInfo; onlyPlatform: boolean }> {
  const info = await inspect(engine, image, platform);
  if (platform !== undefined || runs === undefined || store !== "containerd") {
    return { info, onlyPlatform: platform !== undefined };
  }
  const fitting = await engine.inspectImage(image.given, runs);
  const isOther = fitting !== undefined && fitting.platform !== info.platform;
  return { info: fitting ?? info, onlyPlatform: isOther };
}

async function inspect(engine: Engine, image: Reference, platform: string | undefined): Promise<ImageInfo> {
  const found = await engine.inspectImage(image.given, platform);
  if (found !== undefined) return found;
  const other = platform === undefined ? undefined : await engine.inspectImage(image.given);
  if (other !== undefined) {
    throw new Failure("image-not-found", `${image.given} is here for ${other.platform}, not for ${platform}`, {
      expected: `a variant for ${platform} in ${engine.address}`,
      hint: `Build or pull it with --platform ${platform}, or leave --platform out.`,
    });
  }
  throw new Failure("image-not-found", `there is no image ${image.given} in ${engine.address}`, {
    expected: "an image that `docker images` lists",
    hint: "Build or tag it first; another engine is chosen with -H, DOCKER_HOST or a docker context.",
  });
}

/** An engine has many images: both sides must mean the same one. */
function refuseOther(asked: Reference, image: Reference): void {
  if (fullName(asked) === fullName(image)) return;
  throw new Failure("refused", `the sending side offers ${image.given}, the receiving side asks for ${asked.given}`, {
    expected: "the same name on both sides",
    hint: `Name ${image.given} in both, or give the image its other name first: docker tag ${image.given} ${asked.given}`,
  });
}
