import { digestOf, type Digest } from "../../image/digest.ts";
import type { ArchiveKind } from "../../image/location.ts";
import { partsOf, type IndexContent } from "../../image/index-content.ts";
import { openArchive } from "../../image/open/open-archive.ts";
import { Failure } from "../../output/errors.ts";

/** Throws a `refused` Failure for a docker archive, which stores one platform of an image. */
export function refuseDockerArchive(kind: ArchiveKind, address: string): void {
  if (kind !== "docker-archive") return;
  throw new Failure("refused", `${address} is a docker archive, which stores one platform of an image, and no index`, {
    expected: "an OCI layout or an OCI archive, because of --all-platforms or several --platform",
    hint: "Name it oci-archive:FILE, which `docker load` also accepts on an engine with a containerd store.",
  });
}

/** Returns the digest of the only root in an OCI archive; undefined unless it contains the whole image. */
export async function rootInArchive(path: string, index: IndexContent): Promise<Digest | undefined> {
  await using archive = await openArchive("oci-archive", path);
  const parts = partsOf(index);
  const present = await archive.roots?.present(parts);
  const isWhole = parts.every(({ digest }) => present?.has(digest));
  return isWhole && archive.roots !== undefined ? digestOf(await archive.roots.read()) : undefined;
}
