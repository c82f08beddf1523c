import type { ApiObject } from "../backend.ts";
import { arrayOf, objectOf, pick, textOf, type Json } from "./json.ts";

/**
 * The parts of the engine's objects that a tenant may see: known properties, except those about the host (folders, containers) and the names, which the caller
 * adds. The labels that the guard sets stay, because they are in the image and in pushed copies of it.
 */

/** Properties of an image's config in the Engine API */
export const CONFIG = [
  "Hostname",
  "Domainname",
  "User",
  "AttachStdin",
  "AttachStdout",
  "AttachStderr",
  "ExposedPorts",
  "Tty",
  "OpenStdin",
  "StdinOnce",
  "Env",
  "Cmd",
  "Healthcheck",
  "ArgsEscaped",
  "Volumes",
  "WorkingDir",
  "Entrypoint",
  "NetworkDisabled",
  "OnBuild",
  "Labels",
  "StopSignal",
  "StopTimeout",
  "Shell",
];
const SUMMARY = ["Id", "Created", "Size", "VirtualSize", "Labels"];
const INSPECTED = [
  "Id",
  "Comment",
  "Created",
  "DockerVersion",
  "Author",
  "Architecture",
  "Variant",
  "Os",
  "OsVersion",
  "Size",
  "VirtualSize",
];
const PLATFORM = ["architecture", "os", "os.version", "os.features", "variant"];

/** Returns an entry of a listing, without its names. */
export function summaryOf(raw: Json): Record<string, unknown> {
  return { ...pick(raw, SUMMARY), SharedSize: -1, Containers: -1, ...withParts(raw) };
}

/** Returns an inspection, without its names and its parent, and without ContainerConfig, which names a container of the host. */
export function inspectionOf(raw: Json): Record<string, unknown> {
  return {
    ...pick(raw, INSPECTED),
    ...("Container" in raw && { Container: "", ContainerConfig: null }),
    ...("Config" in raw && { Config: configOf(raw["Config"]) }),
    ...("GraphDriver" in raw && { GraphDriver: { Data: null, Name: textOf(objectOf(raw["GraphDriver"])["Name"]) } }),
    ...("RootFS" in raw && { RootFS: pick(raw["RootFS"], ["Type", "Layers"]) }),
    ...("Metadata" in raw && { Metadata: pick(raw["Metadata"], ["LastTagTime"]) }),
    ...withParts(raw),
  };
}

/** Returns a line of the history, without its ID and its names. */
export function historyOf(raw: Json): Record<string, unknown> {
  return pick(raw, ["Created", "CreatedBy", "Size", "Comment"]);
}

function configOf(raw: unknown): ApiObject | null {
  if (raw === null) return null;
  // In classic builds, this is the ID of the image on which the step ran.
  return { ...pick(raw, CONFIG), ...("Image" in objectOf(raw) && { Image: "" }) };
}

/** Returns the parts of an image that the containerd image store reports. */
function withParts(raw: Json): Record<string, unknown> {
  return {
    ...(isObject(raw["Descriptor"]) && { Descriptor: descriptorOf(raw["Descriptor"]) }),
    ...(Array.isArray(raw["Manifests"]) && { Manifests: arrayOf(raw["Manifests"]).map(manifestOf) }),
  };
}

/** Returns a descriptor without annotations, which may contain names. */
function descriptorOf(raw: unknown): ApiObject {
  const { platform } = objectOf(raw);
  return {
    ...pick(raw, ["mediaType", "digest", "size", "artifactType"]),
    ...(isObject(platform) && { platform: pick(platform, PLATFORM) }),
  };
}

function manifestOf(raw: unknown): ApiObject {
  const { Descriptor, Size, ImageData, AttestationData } = objectOf(raw);
  const image = objectOf(ImageData);
  return {
    ...pick(raw, ["ID", "Available", "Kind"]),
    Descriptor: descriptorOf(Descriptor),
    Size: pick(Size, ["Content", "Total"]),
    ...(isObject(ImageData) && {
      ImageData: {
        Platform: pick(image["Platform"], PLATFORM),
        Containers: [],
        Size: pick(image["Size"], ["Unpacked"]),
      },
    }),
    ...(isObject(AttestationData) && { AttestationData: pick(AttestationData, ["For"]) }),
  };
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}
