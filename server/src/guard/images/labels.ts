import { Refusal } from "../refusal.ts";

/**
 * Maximum bytes of the labels of one image, and of all images of a tenant, including the steps of the classic builder. Each list of the engine's images contains
 * the labels of all tenants' images. With too many labels, nobody's images could be listed.
 */
export const MAX_LABELS = 64 * 1024;
const MAX_ALL_LABELS = 32 * 1024 * 1024;

export function bytesOfLabels(labels: unknown): number {
  return Buffer.byteLength(JSON.stringify(labels ?? {}));
}

/**
 * @param labels of the image
 * @param all the labels of each image of its tenant
 * @throws Refusal `image.labels`
 */
export function refuseLabels(labels: unknown, all: readonly unknown[]): void {
  if (bytesOfLabels(labels) > MAX_LABELS) {
    throw new Refusal("image.labels", `an image may have at most ${MAX_LABELS} bytes of labels here`);
  }
  if (all.reduce((sum: number, other) => sum + bytesOfLabels(other), 0) <= MAX_ALL_LABELS) return;
  throw new Refusal(
    "image.labels",
    `all images of a tenant, with the steps of the classic builder, may have at most ${MAX_ALL_LABELS} bytes of labels here: remove some with docker rmi`,
  );
}
