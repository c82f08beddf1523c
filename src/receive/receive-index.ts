import type { About } from "../conversation/messages.ts";
import type { Digest } from "../image/digest.ts";
import type { IndexContent } from "../image/index-content.ts";
import type { BlobFile } from "../image/oci/oci-layout.ts";
import { Failure } from "../output/errors.ts";
import { openSpool, type Spool } from "../run/spool.ts";
import { fetchLayers } from "./fetch-layers.ts";
import type { IndexTarget } from "./index-target.ts";
import { planLayers } from "./plan-layers.ts";
import type { ReceiveOptions } from "./receive-options.ts";
import { countLayers, type ReceivedImage } from "./received-image.ts";
import { requestLayers } from "./request-layers.ts";
import { refuseWithoutSpace } from "./free-space.ts";
import type { Target, TargetPlan } from "./target.ts";

/**
 * Fetches the blobs of an image with its index that the target lacks, for all platforms, each once. Verifies them by their digests, and
 * stores the image under a temporary name when all sent blobs have arrived.
 */
export async function receiveIndex(
  target: IndexTarget,
  index: IndexContent,
  options: ReceiveOptions,
): Promise<ReceivedImage> {
  const { env, runId, signal, onProgress } = options;
  const present = await target.present(index.blobs, options);
  const wanted = wantedOf(index, present);
  refuseWithoutSpace(await target.space(options, wanted));
  const spool = await openSpool(env, runId);
  try {
    const files = await fetchBlobs(options, wanted, spool);
    signal.throwIfAborted();
    onProgress({ stage: target.store === "containerd" ? "loading" : "storing", current: 0 });
    const stored = await target.put(index, files, options);
    const sizes = index.blobs.map(({ size }) => size);
    const isSent = index.blobs.map(({ digest }) => !present.has(digest));
    return {
      name: stored.name,
      id: index.root.descriptor.digest,
      ...countLayers(sizes, isSent),
      async [Symbol.asyncDispose]() {
        await stored[Symbol.asyncDispose]();
        await spool[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await spool[Symbol.asyncDispose]();
    throw error;
  }
}

/** Determines the effect of {@link receiveIndex}, and fetches nothing. */
export async function planIndex(
  target: IndexTarget,
  index: IndexContent,
  options: ReceiveOptions,
): Promise<TargetPlan> {
  const { diffIds } = options.about;
  const missing = wantedOf(index, await target.present(index.blobs, options));
  const wanted = target.planned?.without(diffIds, missing) ?? missing;
  target.planned?.add(diffIds);
  const space = await target.space(options, wanted);
  refuseWithoutSpace(space);
  return { ...(await planLayers(options, wanted, undefined, undefined)), store: target.store, room: space };
}

function wantedOf({ blobs }: IndexContent, present: ReadonlySet<Digest>): Digest[] {
  return blobs.map(({ digest }) => digest).filter((digest) => !present.has(digest));
}

async function fetchBlobs(options: ReceiveOptions, wanted: readonly Digest[], spool: Spool): Promise<BlobFile[]> {
  if (wanted.length === 0) {
    await options.decline();
    return [];
  }
  using requested = await requestLayers(options, wanted, undefined);
  const files: BlobFile[] = [];
  for await (const { diffId: digest, path, size } of fetchLayers(requested.layers, wanted, spool, requested.fetch)) {
    files.push({ digest, path, size });
  }
  return files;
}

/** Verifies that a name refers to the sender's index, and that all sent blobs are present. Returns the digest of the index. */
export async function verifyIndex(target: Target, name: string, index: IndexContent): Promise<Digest> {
  const { digest } = index.root.descriptor;
  const found = await target.indexes().digestOf(name, index);
  if (found === digest) return digest;
  throw new Failure(
    "not-verified",
    `the image in the store as ${name} is not the image that was sent: ${found === undefined ? "a part of it is missing" : `its digest is ${found}`}`,
    { expected: digest, hint: "Run the same command again; if it happens again, please report it." },
  );
}

/** Throws a Failure if an image with its index is requested or offered, and this side cannot store it as requested. */
export function refuseIndex(
  { index }: About,
  { platform, platforms, maxSize }: RequestedPlatforms,
  target: Target,
): void {
  if (index === undefined) {
    if (platforms === undefined) return;
    throw new Failure("refused", "the remote side sends one platform, and several were requested", {
      expected: "the image with its index",
      hint: "Install the same version on both sides.",
    });
  }
  if (platform !== undefined) {
    throw new Failure("refused", "the remote side sends an index, and one platform was requested", {
      expected: "only the image for that platform",
      hint: "Install the same version on both sides.",
    });
  }
  target.indexes(); // throws if the target stores no indexes
  if (maxSize === undefined) return;
  throw new Failure("refused", "--max-size cannot be enforced for an image with several platforms", {
    expected: "one platform, whose layers are unpacked while they are verified",
    hint: "Omit --max-size on the receiving side, or --all-platforms and all but one --platform on the sending side.",
  });
}

interface RequestedPlatforms {
  platform?: unknown;
  platforms?: unknown;
  maxSize?: number | undefined;
}
