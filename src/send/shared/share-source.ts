import { digestOf } from "../../image/digest.ts";
import type { ImageName } from "../../image/image-name.ts";
import { formatPlatform } from "../../image/platform.ts";
import { Failure } from "../../output/errors.ts";
import type { NoRoomReason } from "../../output/reasons.ts";
import { NoSpaceFailure } from "../../run/no-space-failure.ts";
import { layerFailure } from "../../store/layer-failure.ts";
import { deferred } from "../../streams/deferred.ts";
import { resolveWithin } from "../../streams/resolve-within.ts";
import type { FoundImage, OfferedImage, OfferOptions } from "../found-image.ts";
import type { RequestedImage, Source } from "../source.ts";
import { SharedImage, type ServableImage } from "./shared-image.ts";

/**
 * ms that an export waits for other receivers that know the image, and are about to request layers. A receiver that wants nothing sends no
 * request.
 */
const GATHER = 500;

/** A source whose layers several receivers share. */
export interface SharedSource extends Source {
  /** The reason why layers are no longer shared: there was no space for their files. Undefined while they are shared. */
  readonly noSpace: NoRoomReason | undefined;
}

type ShareContext = Pick<OfferOptions, "env" | "output">;

/**
 * Creates a source that reads, packs and cuts each layer once for all receivers, in files of the spool. If there is no space for these, it
 * warns once, and each later receiver gets a separate export. Disposing of it does not dispose of `source`.
 */
export function shareSource(source: Source, context: ShareContext): SharedSource {
  return new Sharing(source, context);
}

class Sharing implements SharedSource {
  readonly #source: Source;
  readonly #context: ShareContext;
  readonly #images = new Map<string, SharedImage>();
  /** All images that were opened. A failed image is replaced, but still has readers. */
  readonly #opened: SharedImage[] = [];
  /** The number of receivers that know the image, but have not yet sent their `want`. */
  #undecided = 0;
  #decided = deferred<void>();
  noSpace: NoRoomReason | undefined;

  constructor(source: Source, context: ShareContext) {
    this.#source = source;
    this.#context = context;
  }

  get address(): string {
    return this.#source.address;
  }

  get moved(): number {
    return this.#source.moved ?? 0;
  }

  async check(...args: Parameters<Source["check"]>): Promise<void> {
    await this.#source.check(...args);
  }

  async name(...args: Parameters<NonNullable<Source["name"]>>): Promise<ImageName | undefined> {
    return await this.#source.name?.(...args);
  }

  async find(requested: RequestedImage): Promise<FoundImage> {
    const found = await this.#source.find(requested);
    const { served } = found;
    if (served === undefined || this.noSpace !== undefined) return found;
    this.#undecided += 1;
    let isUndecided = true;
    const offer = async (options: OfferOptions): Promise<OfferedImage> => {
      if (isUndecided) this.#decide();
      isUndecided = false;
      return await this.#offer({ ...found, served }, options);
    };
    return { ...found, offer };
  }

  #decide(): void {
    this.#undecided -= 1;
    if (this.#undecided > 0) return;
    this.#decided.resolve();
    this.#decided = deferred();
  }

  async #offer(found: ServableImage, options: OfferOptions): Promise<OfferedImage> {
    if (options.want.kind !== "layers" || this.noSpace !== undefined) return await found.offer(options);
    const image = this.#imageFor(found, options);
    try {
      await image.openSpool();
    } catch (error) {
      this.#stopSharing(error);
      return await found.offer(options);
    }
    return await image.offer(options);
  }

  #imageFor(found: ServableImage, { manifest }: OfferOptions): SharedImage {
    const { diffIds, configDigest, platform } = found;
    const key = [configDigest, formatPlatform(platform), manifest && digestOf(manifest.bytes), ...diffIds].join();
    const opened = this.#images.get(key);
    if (opened !== undefined) return opened;
    const image = new SharedImage(found, {
      ...this.#context,
      manifest,
      untilWanted: async () => {
        if (this.#undecided > 0) await resolveWithin(GATHER, this.#decided.promise);
      },
      onFailure: (error) => {
        this.#images.delete(key);
        this.#stopSharing(error);
      },
    });
    this.#images.set(key, image);
    this.#opened.push(image);
    return image;
  }

  /** Stops sharing if the error means that there is no space for files, and warns once. */
  #stopSharing(error: unknown): void {
    const failure = layerFailure(error, "sent");
    if (!(failure instanceof Failure && failure.code === "no-space") || this.noSpace !== undefined) return;
    this.noSpace = failure instanceof NoSpaceFailure ? failure.reason : { code: "disk-full" };
    this.#context.output.warn({ code: "not-shared", reason: this.noSpace });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const image of this.#opened) await image[Symbol.asyncDispose]();
  }
}
