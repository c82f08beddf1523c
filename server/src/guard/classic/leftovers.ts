import { EngineAnswer, type EngineApi } from "../engine/engine-api.ts";
import type { OwnImages } from "../images/own-images.ts";
import { TENANT_LABEL } from "../images/reserved.ts";

/** Fields of an image in a list */
interface Listed {
  Id: string;
  RepoTags?: string[] | null;
  Created?: number;
}

/**
 * Removes the images of the steps of a build that has failed: those that it has printed, and that have the tenant's label. RUN may print the ID of any
 * image, so nothing else is touched, nor what is the tenant's to keep.
 */
export async function removeLeftovers(
  tenant: string,
  printed: ReadonlySet<string>,
  engine: Pick<EngineApi, "request" | "json">,
  own: Pick<OwnImages, "list">,
  signal: AbortSignal,
): Promise<void> {
  if (printed.size === 0) return;
  const query = [
    ["all", "1"],
    ["filters", JSON.stringify({ label: [`${TENANT_LABEL}=${tenant}`] })],
  ] as const;
  const [listed, kept] = await Promise.all([
    engine.json({ method: "GET", path: "/images/json", query, signal }) as Promise<Listed[]>,
    own.list(tenant, signal),
  ]);
  const keptIds = new Set(kept.map(({ id }) => id));
  const isTagged = ({ RepoTags }: Listed): boolean => (RepoTags ?? []).some((tag) => tag !== "<none>:<none>");
  const order = [...printed].toReversed();
  const leftovers = listed
    .filter((image) => !isTagged(image) && !keptIds.has(image.Id))
    .map(({ Id: id }) => ({ id, at: order.indexOf(id.replace("sha256:", "").slice(0, 12)) }))
    .filter(({ at }) => at !== -1)
    .toSorted((one, other) => one.at - other.at);
  // Each is on top of the next. A parent goes by its own turn: it may be an image that is kept.
  for (const { id } of leftovers) {
    try {
      const removed = await engine.request({
        method: "DELETE",
        path: `/images/${id}`,
        query: [["noprune", "1"]],
        signal,
      });
      removed.body.resume();
    } catch (error) {
      // In use by another build of the tenant's, or gone.
      if (!(error instanceof EngineAnswer)) throw error;
    }
  }
}
