import { familiarName } from "docker-over-ssh/builds";
import type { EngineApi } from "../engine/engine-api.ts";
import { engineName, parseTenantName } from "../images/names.ts";
import type { Tenant } from "../tenant.ts";
import type { BuildLines } from "./build-lines.ts";

interface NameToGive {
  /** The name on the engine, without the tag */
  repository: string;
  tag: string;
  /** The name on the engine, with the tag */
  reference: string;
  /** The name that docker prints */
  shown: string;
}

/** @param names in the tenant's notation */
export function namesToGive(tenant: string, names: readonly string[]): NameToGive[] {
  return names.map((name) => {
    const parsed = parseTenantName(name);
    const { given, domain, path, tag = "latest" } = parsed;
    const repository = engineName(tenant, { given, domain, path });
    return { repository, tag, reference: `${repository}:${tag}`, shown: `${familiarName(parsed)}:${tag}` };
  });
}

/** Names an image. This is the last step of a build, so that an image beyond the quota does not take the name of another. */
export async function giveNames(
  engine: Pick<EngineApi, "request">,
  tenant: Tenant,
  id: string,
  names: readonly string[],
  lines: BuildLines,
  signal: AbortSignal,
): Promise<void> {
  lines.take({ aux: { ID: id } });
  lines.take({ stream: `Successfully built ${id.replace("sha256:", "").slice(0, 12)}\n` });
  for (const { repository, tag, shown } of namesToGive(tenant.id, names)) {
    const query = [
      ["repo", repository],
      ["tag", tag],
    ] as const;
    const { body } = await engine.request({ method: "POST", path: `/images/${id}/tag`, query, signal });
    body.resume();
    lines.take({ stream: `Successfully tagged ${shown}\n` });
  }
  lines.onSuccess(id);
}
