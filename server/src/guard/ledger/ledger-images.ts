import { Refusal } from "../refusal.ts";
import type { Ledger, LedgerImage } from "./ledger.ts";

/** Returns a tenant's images in the ledger, by their IDs. */
export function imagesInLedger(ledger: Ledger, tenant: string): ReadonlyMap<string, LedgerImage> {
  return new Map(ledger.read(tenant).images.map((image) => [image.id, image]));
}

/** Records images. An entry replaces an earlier one, e.g. of an intermediate image. */
export async function recordImages(ledger: Ledger, tenant: string, images: readonly LedgerImage[]): Promise<void> {
  await ledger.change(tenant, (record) => {
    const ids = new Set(images.map(({ id }) => id));
    record.images = [...record.images.filter(({ id }) => !ids.has(id)), ...images];
  });
}

/** Removes missing images from the ledger. If the disk is full, they stay in it, where a stale ID does no harm. */
export async function forgetImages(ledger: Ledger, tenant: string, ids: readonly string[]): Promise<void> {
  const gone = new Set(ids);
  if (!ledger.read(tenant).images.some(({ id }) => gone.has(id))) return;
  try {
    await ledger.change(tenant, (record) => {
      record.images = record.images.filter(({ id }) => !gone.has(id));
    });
  } catch (error) {
    if (!(error instanceof Refusal && error.rule === "ledger.full")) throw error;
  }
}
