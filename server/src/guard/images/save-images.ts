import type { Readable } from "node:stream";
import type { Caller } from "../caller.ts";
import { Refusal } from "../refusal.ts";
import { idPrefix } from "./id-prefix.ts";
import { engineName, parseTenantName } from "./names.ts";
import { archiveForTenant } from "./saved-archive.ts";
import { platformQuery, type ViewDependencies } from "./view-images.ts";

/** Maximum names in one request. Each is looked up before the archive is sent. */
const MAX_NAMES = 1000;

/** Serves `GET /images/get`. The caller must read the archive to its end or destroy it. */
export async function saveImages(
  dependencies: ViewDependencies,
  caller: Caller,
  names: readonly string[],
  { platform }: { platform?: string | undefined },
): Promise<Readable> {
  const { tenant, apiVersion, signal } = caller;
  if (names.length > MAX_NAMES)
    throw new Refusal("image.names", `at most ${MAX_NAMES} images can be saved at once, not ${names.length}`, {
      statusCode: 400,
    });
  const found: string[] = [];
  for (const name of names) found.push(...(await engineNamesOf(dependencies, caller, name)));
  const query = [...found.map((name): [string, string] => ["names", name]), ...platformQuery(platform)];
  const { body } = await dependencies.engine.request({ method: "GET", path: "/images/get", query, apiVersion, signal });
  return archiveForTenant(tenant.id, body, signal);
}

/** Returns the engine's names for the requested image: its ID, or names with tags. A repository without a tag selects all of its tags. */
async function engineNamesOf({ own }: ViewDependencies, { tenant, signal }: Caller, given: string): Promise<string[]> {
  if (idPrefix(given)?.isCertain !== true) {
    const reference = parseTenantName(given);
    if (!given.includes("@") && given.lastIndexOf(":") <= given.lastIndexOf("/")) {
      const repository = engineName(tenant.id, { ...reference, tag: "" }).slice(0, -1);
      const images = await own.list(tenant.id, signal);
      const names = images.flatMap((image) => image.names).filter((name) => repositoryOf(name) === repository);
      if (names.length > 0) return names;
    }
  }
  const { id, foundAs } = await own.find(tenant.id, given, signal);
  return [foundAs === undefined || foundAs.includes("@") ? id : foundAs];
}

function repositoryOf(name: string): string {
  return name.slice(0, name.lastIndexOf(":"));
}
