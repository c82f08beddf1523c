import { engineName, parseTenantName } from "../images/names.ts";
import { Refusal } from "../refusal.ts";
import type { Tenant } from "../tenant.ts";

/** The destination of a build's result. */
export interface PlannedExporter {
  type: string;
  attrs: Record<string, string>;
}

/** Exporters to the engine's images. buildx names it `moby`, other clients `image`. */
const TO_IMAGES = new Set(["moby", "image"]);
/** Exporters to the tenant's own client, through its session */
const TO_CLIENT = new Set(["local", "tar", "oci", "docker"]);

const SHARED_ATTRIBUTES = [
  "oci-mediatypes",
  "compression",
  "compression-level",
  "force-compression",
  "rewrite-timestamp",
  "source-date-epoch",
  "prefer-nondist-layers",
  "buildinfo",
  "buildinfo-attrs",
  "attestation-prefix",
  "artifact",
  "oci-artifact",
];
const IMAGE_ATTRIBUTES = new Set([...SHARED_ATTRIBUTES, "unpack", "store", "name-canonical"]);
const CLIENT_ATTRIBUTES = new Set([...SHARED_ATTRIBUTES, "name", "tar", "dest", "platform-split", "mode"]);
/** Attributes that buildx 0.36 sets for its own use, with any output. No BuildKit reads them. */
const OF_THE_CLIENT = new Set(["prefer-image-digest"]);
/** Names of one image. The engine makes a request to its store for each. */
const MAX_NAMES = 100;
const ANNOTATION = /^annotation(?:-[a-z-]+)?(?:\[[\w./*-]+\])?\./;

/** Checks an exporter, and replaces the tenant's names with the engine's. Throws a Refusal `exporter.*`. */
export function checkExporter(tenant: Tenant, { type, attrs: given }: Readonly<PlannedExporter>): PlannedExporter {
  const attrs = Object.fromEntries(Object.entries(given).filter(([key]) => !OF_THE_CLIENT.has(key)));
  if (TO_IMAGES.has(type)) return { type, attrs: imageAttributes(tenant, attrs) };
  if (!TO_CLIENT.has(type)) {
    throw new Refusal(
      "exporter.type",
      `a build may not be written to an output of the type "${type}" here: image, local, tar, oci and docker are allowed`,
    );
  }
  for (const key of Object.keys(attrs)) {
    if (!CLIENT_ATTRIBUTES.has(key) && !ANNOTATION.test(key)) throw unknownAttribute(type, key);
  }
  return { type, attrs };
}

/** Returns whether an exporter creates an image on the engine. */
export function makesImage({ type }: PlannedExporter): boolean {
  return TO_IMAGES.has(type);
}

function imageAttributes(tenant: Tenant, attrs: Readonly<Record<string, string>>): Record<string, string> {
  const checked: Record<string, string> = {};
  for (const [key, value] of Object.entries(attrs)) {
    if (key === "name") {
      // Commas separate several names.
      const names = value.split(",").filter((name) => name !== "");
      if (names.length > MAX_NAMES) {
        throw new Refusal("exporter.names", `a build may give its image at most ${MAX_NAMES} names`);
      }
      if (names.length > 0)
        checked["name"] = names.map((name) => engineName(tenant.id, withTag(name.trim()))).join(",");
    } else if (key === "push" || key === "push-by-digest" || key === "registry.insecure") {
      if (/^(?:|0|f|false)$/i.test(value)) continue;
      throw new Refusal(
        "exporter.push",
        "a build cannot push by itself here: omit --push, and use docker push after the build",
      );
    } else if (IMAGE_ATTRIBUTES.has(key) || ANNOTATION.test(key)) {
      checked[key] = value;
    } else throw unknownAttribute("image", key);
  }
  return checked;
}

function withTag(name: string): ReturnType<typeof parseTenantName> {
  const reference = parseTenantName(name);
  if (reference.digest !== undefined) {
    throw new Refusal("name.digest", `"${name}": an image cannot be named by a digest`, { statusCode: 400 });
  }
  return reference.tag === undefined ? { ...reference, tag: "latest" } : reference;
}

function unknownAttribute(type: string, key: string): Refusal {
  return new Refusal(
    "exporter.attribute",
    `the attribute "${key}" of an output of the type "${type}" is not known to docker-over-ssh guard, which refuses what it cannot check`,
  );
}
