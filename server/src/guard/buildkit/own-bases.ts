import { parseTenantName, tenantName } from "../images/names.ts";
import type { OwnImage } from "../images/own-images.ts";

/** A tenant's own images that have names and can be bases of its builds. */
export interface OwnBases {
  /** By the full name, e.g. `docker.io/library/app:v1` */
  byName: ReadonlyMap<string, OwnBase>;
  /** By the engine's name */
  byEngineName: ReadonlyMap<string, OwnBase>;
}

export interface OwnBase {
  name: string;
  engineName: string;
  /** The engine's ID of the image */
  id: string;
}

export function ownBases(tenant: string, images: readonly OwnImage[]): OwnBases {
  const bases = images.flatMap(({ id, names }) =>
    names.flatMap((engineName): OwnBase[] => {
      const given = tenantName(tenant, engineName);
      if (given === undefined) return [];
      const { domain, path, tag } = parseTenantName(given);
      return tag === undefined ? [] : [{ name: `${domain}/${path}:${tag}`, engineName, id }];
    }),
  );
  return {
    byName: new Map(bases.map((base) => [base.name, base])),
    byEngineName: new Map(bases.map((base) => [base.engineName, base])),
  };
}
