import { splitName } from "../api/split-name.ts";

/** The maximum number of registries to look up credentials for. A Dockerfile names a few. */
const MAX_REGISTRIES = 20;

/**
 * Returns the registries of the images in a Dockerfile, as the docker config spells them. Used only to look up credentials, so the parsing
 * is approximate: a builder without a session gets all credentials that it may need with the request.
 */
export function baseRegistries(dockerfile: string, buildArgs: Readonly<Record<string, string>>): string[] {
  const values = new Map<string, string>();
  const registries = new Set<string>();
  for (const line of dockerfile.replaceAll(/\\\r?\n/g, " ").split("\n")) {
    const [, name, value = ""] = /^\s*ARG\s+(\w+)(?:=(\S*))?/i.exec(line) ?? [];
    if (name !== undefined && !values.has(name))
      values.set(name, buildArgs[name] ?? value.replaceAll(/^["']|["']$/g, ""));
    const [, from] = /^\s*FROM\s+(?:--\S+\s+)*(\S+)/i.exec(line) ?? /^\s*COPY\s+.*--from=(\S+)/i.exec(line) ?? [];
    const registry = from === undefined ? undefined : registryOf(expanded(from, values));
    if (registry !== undefined && registries.size < MAX_REGISTRIES) registries.add(registry);
  }
  return [...registries];
}

function expanded(text: string, values: ReadonlyMap<string, string>): string {
  return text.replaceAll(
    /\$(?:(\w+)|\{(\w+)(?::-([^}]*))?\})/g,
    (_, plain?: string, braced?: string, otherwise = "") => {
      const value = values.get(plain ?? braced ?? "");
      return value === undefined || value === "" ? otherwise : value;
    },
  );
}

/**
 * Returns undefined for `scratch` and for text that is not a reference. An earlier stage counts as an image of Docker Hub, which does no
 * harm.
 */
function registryOf(reference: string): string | undefined {
  if (reference === "scratch") return undefined;
  try {
    return splitName(reference).registry;
  } catch {
    return undefined;
  }
}
