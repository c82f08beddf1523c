import { Failure, fullName, parsePlatform, readName, type Credentials } from "docker-over-ssh/builds";
import type { Client } from "../../access/client.ts";
import type { JobOrder } from "../../jobs/job.ts";
import { readAddress, type Network } from "../../net/network.ts";
import { MAX_FIELDS, type InvalidField } from "../http/invalid-fields.ts";
import { ProblemError } from "../http/problem.ts";
import type { BuildRequest } from "../shapes/schemas.ts";

/** A build request, parsed and validated: everything that a job consists of, except its body. */
export interface ReadOrder {
  name: string;
  fullName: string;
  order: JobOrder;
  /** The source of the files. An archive is the request's body, or part of it. */
  source: { kind: "dockerfile"; text: string } | { kind: "address"; url: string } | { kind: "archive" };
  credentials: Credentials | undefined;
  webhookUrl: string | undefined;
}

export interface OrderContext {
  client: Client;
  /** Whether the request contains an archive; undefined: it may follow */
  hasArchive: boolean | undefined;
  hasWebhookSecret: boolean;
  network: Network | undefined;
}

/**
 * Maximum total of characters of all build arguments, and of all labels: they are in the record of the job, which is in
 * memory, and in each list of jobs.
 */
const MAX_PAIRS = 32 * 1024;

/** From the most to the least isolated. */
const NETWORKS = ["none", "default", "host"];

/**
 * Validates the fields of a request that already fits the schema, before its body is read.
 *
 * @throws ProblemError 422 with all invalid fields, 403 for a name or a network that the client may not use
 */
export function readOrder(
  build: BuildRequest,
  { client, hasArchive, hasWebhookSecret, network }: OrderContext,
): ReadOrder {
  const errors: InvalidField[] = [];
  const check = (field: string, message: string | undefined): void => {
    if (message !== undefined) errors.push({ field, message });
  };
  const source = readSource(build, { hasArchive, network }, check);
  const { file = "Dockerfile", strip = 0, push = true, buildArgs = {}, labels = {} } = build;
  if (source?.kind === "dockerfile") {
    check("file", build.file === undefined ? undefined : "is for archives");
    check("strip", build.strip === undefined ? undefined : "is for archives");
  }
  check("file", wrongPath(file));
  check("target", build.target === undefined ? undefined : wrongText(build.target));
  if (build.platform !== undefined && parsePlatform(build.platform) === undefined) {
    check("platform", "must be OS/ARCH[/VARIANT], for instance linux/arm64");
  }
  for (const name of Object.keys(buildArgs)) check(`buildArgs.${name.slice(0, 100)}`, wrongKey(name));
  for (const name of Object.keys(labels)) check(`labels.${name.slice(0, 100)}`, wrongKey(name));
  for (const field of ["buildArgs", "labels"] as const) {
    const size = Object.entries(build[field] ?? {}).reduce((sum, [name, value]) => sum + name.length + value.length, 0);
    check(field, size > MAX_PAIRS ? `must have no more than ${MAX_PAIRS} characters together` : undefined);
  }
  const webhookUrl = build.webhook?.url;
  if (webhookUrl !== undefined) {
    check("webhook.url", wrongAddress(webhookUrl, network));
    if (!hasWebhookSecret) check("webhook", "cannot be used: this server has no secret for signing");
  }
  const named = readImageName(build.name, check);
  if (errors.length > 0 || named === undefined || source === undefined) throw unusable(errors);
  refuseImage(client, named);
  return {
    name: build.name,
    fullName: fullName(named),
    source,
    credentials: build.credentials,
    webhookUrl,
    order: {
      file,
      strip,
      ...(build.target !== undefined && { target: build.target }),
      buildArgs,
      labels,
      ...(build.platform !== undefined && { platform: build.platform }),
      noCache: build.noCache ?? false,
      pull: build.pull ?? false,
      push,
      purge: build.purge ?? push,
      limits: limitsFor(client, build.network),
    },
  };
}

/**
 * Throws ProblemError 403 for a name that the client may not build. Does not list the permitted names: they may reveal
 * what others build.
 */
export function refuseImage({ images }: Client, name: ReturnType<typeof readName>): void {
  if (images === undefined || images.some((pattern) => pattern.matches(name))) return;
  throw new ProblemError(403, "name-not-allowed", `This token may not build ${fullName(name)}.`);
}

/**
 * Returns the limits of a job. A token without a network limit permits the default network; the host's network needs an
 * explicit limit.
 */
export function limitsFor({ limits }: Client, network: string | undefined): JobOrder["limits"] {
  const freest = limits.network ?? "default";
  const wanted = network ?? (freest === "none" ? "none" : "default");
  if (NETWORKS.indexOf(wanted) > NETWORKS.indexOf(freest)) {
    throw new ProblemError(403, "network-not-allowed", `This token may not build with the network "${wanted}".`);
  }
  const { memory, cpus, time } = limits;
  return {
    ...(memory !== undefined && { memory }),
    ...(cpus !== undefined && { cpus }),
    ...(time !== undefined && { time }),
    network: wanted,
  };
}

export function unusable(found: readonly InvalidField[]): ProblemError {
  const errors = found.slice(0, MAX_FIELDS);
  const detail = errors.map(({ field, message }) => `${field} ${message}`).join("; ");
  return new ProblemError(422, "unusable", `The build cannot be done as requested: ${detail}.`, { errors });
}

/** Returns why the server may not fetch from an address, or send a webhook to it; undefined if it may. */
function wrongAddress(address: string, network: Network | undefined): string | undefined {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url === undefined || (url.protocol !== "http:" && url.protocol !== "https:")) {
    return "must be an http or https address";
  }
  if (url.username !== "" || url.password !== "") return "must be without user and password";
  try {
    // Names are resolved and checked later, when the address is used.
    if (network !== undefined) readAddress(address, network);
    return undefined;
  } catch (error) {
    if (error instanceof Failure) {
      return "is not public, and this server does not connect to it. The server's operator can allow it with --allow-host";
    }
    throw error;
  }
}

type Check = (field: string, message: string | undefined) => void;

function readSource(
  build: BuildRequest,
  { hasArchive, network }: Pick<OrderContext, "hasArchive" | "network">,
  check: Check,
): ReadOrder["source"] | undefined {
  const { dockerfile, archiveUrl } = build;
  const given = [dockerfile !== undefined, archiveUrl !== undefined, hasArchive === true].filter(Boolean).length;
  if (given > 1) {
    const both = "is given with another source: exactly one of dockerfile, archiveUrl and an archive is needed";
    if (dockerfile !== undefined) check("dockerfile", both);
    if (archiveUrl !== undefined) check("archiveUrl", both);
    if (hasArchive === true) check("archive", both);
    return undefined;
  }
  if (dockerfile !== undefined) return { kind: "dockerfile", text: dockerfile };
  if (archiveUrl !== undefined) {
    check("archiveUrl", wrongAddress(archiveUrl, network));
    return { kind: "address", url: archiveUrl };
  }
  if (hasArchive !== false) return { kind: "archive" };
  check("dockerfile", "is missing: exactly one of dockerfile, archiveUrl and an archive is needed");
  return undefined;
}

function readImageName(given: string, check: Check): ReturnType<typeof readName> | undefined {
  try {
    return readName(given);
  } catch (error) {
    check("name", error instanceof Error ? `is not usable: ${error.message}` : "is not usable");
    return undefined;
  }
}

function wrongPath(path: string): string | undefined {
  const parts = path.split("/");
  if (path === "" || path.startsWith("/") || parts.includes("..")) return "must be a path within the archive";
  return wrongText(path);
}

function wrongText(text: string): string | undefined {
  // oxlint-disable-next-line no-control-regex
  return text === "" || /[\u0000-\u001f\u007f]/.test(text) ? "must be text without control characters" : undefined;
}

function wrongKey(name: string): string | undefined {
  return name === "" || name.length > 300 || /[\s=\0]/.test(name) ? "is not a usable name" : undefined;
}
