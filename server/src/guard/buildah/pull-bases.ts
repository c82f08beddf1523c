import { fullName, registryKey, type Reference } from "docker-over-ssh/builds";
import type { BuildRequest } from "../build-request.ts";
import type { Caller } from "../caller.ts";
import { originOf } from "../policy/bases.ts";
import type { Policy } from "../policy/policy.ts";
import { checkHostOf } from "../policy/registry-host.ts";
import { checkSource } from "../policy/sources.ts";
import { guardCredentials } from "../push/guard-credentials.ts";
import { baseOf } from "./build-arguments.ts";
import type { ExternalSources } from "./external-sources.ts";
import type { OpenHome } from "./homes.ts";
import { run, type BuildahDependencies } from "./dependencies.ts";
import { authFile, isOfThisHost } from "./registry-files.ts";
import { AUTHFILE } from "./sandbox.ts";
import type { RunOptions } from "./run-buildah.ts";
import { findImage, type StoredImage } from "./stored-images.ts";

export interface PullOptions extends Pick<RunOptions, "signal" | "cgroupFiles" | "call"> {
  onLine: (line: string) => void;
}

/**
 * Refuses addresses of `ADD` that the policy does not allow. If steps have a network, it allows an address with unknown variables, because a step could fetch
 * it from the same network anyway.
 */
export function checkAddresses({ addresses }: ExternalSources, policy: Policy): void {
  for (const address of addresses) {
    if (!(policy.hasNetwork && address.includes("$"))) checkSource(address, policy);
  }
}

/**
 * Fetches the images that a build needs and the policy allows into the tenant's storage. Removes images that were fetched earlier and are no longer allowed,
 * because a build can use any image in the storage.
 *
 * @throws Refusal `base.refused`; BuildahError
 */
export async function pullBases(
  dependencies: BuildahDependencies,
  { tenant }: Caller,
  home: OpenHome,
  request: BuildRequest,
  needed: readonly string[],
  options: PullOptions,
): Promise<void> {
  const { signal } = options;
  const stored = await dependencies.images.all(home, signal);
  const own = stored.filter(({ isOwn }) => isOwn);
  const wanted = needed.filter((name) => findImage(own, name) === undefined).map(baseOf);
  for (const reference of wanted) originOf(reference, tenant.policy, false);
  for (const image of stored) {
    if (isStillAllowed(image, tenant.policy)) continue;
    await run(dependencies, home, ["rmi", "--force", image.id], { signal });
  }
  for (const reference of wanted) {
    if (!request.pull && findImage(stored, fullName(reference)) !== undefined) continue;
    await pull(dependencies, reference, home, request, tenant, options);
  }
}

function isStillAllowed({ isStamped, names }: StoredImage, policy: Policy): boolean {
  if (isStamped) return true;
  return names.some((name) => {
    try {
      originOf(baseOf(name), policy, false);
      return true;
    } catch {
      return false;
    }
  });
}

async function pull(
  dependencies: BuildahDependencies,
  reference: Reference,
  home: OpenHome,
  { platform, credentials }: BuildRequest,
  tenant: Caller["tenant"],
  { onLine, ...options }: PullOptions,
): Promise<void> {
  const { domain } = reference;
  await checkHostOf(reference, [...tenant.policy.bases, ...tenant.policy.pulls]);
  const given = credentials[registryKey(domain)] ?? credentials[domain];
  const used = (await guardCredentials(tenant, domain, dependencies.env)) ?? given;
  const argv = [
    "pull",
    "--quiet",
    ...(platform === undefined ? [] : ["--platform", platform]),
    ...(used === undefined ? [] : ["--authfile", AUTHFILE]),
    ...(isOfThisHost(domain) ? ["--tls-verify=false"] : []),
    `docker://${fullName(reference)}`,
  ];
  onLine(`Pulling ${fullName(reference)}`);
  await run(dependencies, home, argv, {
    ...options,
    network: "host",
    reference,
    authFile: used === undefined ? undefined : authFile(domain, used),
  });
}
