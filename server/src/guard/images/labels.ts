import { Refusal } from "../refusal.ts";

/**
 * Bytes of the labels of one image, and of all images of a tenant, with the steps of the classic builder. Labels are in each list of the engine's images,
 * which has those of all tenants: too many, and nobody's images could be listed.
 */
export const MAX_LABELS = 64 * 1024;
const MAX_ALL_LABELS = 32 * 1024 * 1024;

export function bytesOfLabels(labels: unknown): number {
  return Buffer.byteLength(JSON.stringify(labels ?? {}));
}

/**
 * @param labels of the image
 * @param all of all images of its tenant
 * @throws Refusal `image.labels`
 */
export function refuseLabels(labels: unknown, all: readonly unknown[]): void {
  if (bytesOfLabels(labels) > MAX_LABELS) {
    throw new Refusal("image.labels", `an image may have ${MAX_LABELS} bytes of labels here`);
  }
  if (all.reduce((sum: number, one) => sum + bytesOfLabels(one), 0) <= MAX_ALL_LABELS) return;
  throw new Refusal(
    "image.labels",
    `all images of a tenant, with the steps of the classic builder, may have ${MAX_ALL_LABELS} bytes of labels here: remove some with docker rmi`,
  );
}
