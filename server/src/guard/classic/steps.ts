import type { EngineApi } from "../engine/engine-api.ts";
import { TENANT_LABEL } from "../images/reserved.ts";

/** Fields of an image in a list */
export interface ListedImage {
  Id: string;
  ParentId?: string;
  RepoTags?: string[] | null;
  RepoDigests?: string[] | null;
  Labels?: Record<string, string> | null;
}

/** Lists all images of an engine, including those of steps. */
export async function listSteps(engine: Pick<EngineApi, "json">, signal: AbortSignal): Promise<ListedImage[]> {
  const query = [["all", "1"]] as const;
  return ((await engine.json({ method: "GET", path: "/images/json", query, signal })) ?? []) as ListedImage[];
}

/** Returns whether an image has names. Old versions of the API send `<none>:<none>` if it has none. */
export function hasNames({ RepoTags, RepoDigests }: ListedImage): boolean {
  return [...(RepoTags ?? []), ...(RepoDigests ?? [])].some((name) => !name.startsWith("<none>"));
}

/**
 * Returns the IDs of the steps between stages and their bases. The steps of triggers lack the tenant's label. They count as the tenant's only if they are on
 * top of a base of this build.
 */
export function stepsUnder(
  stages: readonly string[],
  bases: ReadonlySet<string>,
  tenant: string,
  listed: readonly ListedImage[],
): string[] {
  const images = new Map(listed.map((image) => [image.Id, image]));
  const ends = new Set([...stages, ...bases]);
  const steps = new Set<string>();
  for (const stage of stages) {
    const unlabelled: string[] = [];
    let id = images.get(stage)?.ParentId ?? "";
    for (; !ends.has(id) && !steps.has(id); id = images.get(id)?.ParentId ?? "") {
      const image = images.get(id);
      if (image === undefined || hasNames(image)) break;
      if (image.Labels?.[TENANT_LABEL] === tenant) steps.add(id);
      else unlabelled.push(id);
    }
    if (bases.has(id)) for (const step of unlabelled) steps.add(step);
  }
  return [...steps];
}
