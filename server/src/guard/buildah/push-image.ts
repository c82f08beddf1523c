import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fullName, type Reference } from "docker-over-ssh/builds";
import type { PushOptions } from "../backend.ts";
import type { Caller } from "../caller.ts";
import { checkHostOf } from "../policy/registry-host.ts";
import { checkPush } from "../push/check-push.ts";
import { guardCredentials } from "../push/guard-credentials.ts";
import { openCallFolder } from "./homes.ts";
import { dockerName } from "./image-objects.ts";
import { cgroupOf, homeOf, run, type BuildahDependencies } from "./dependencies.ts";
import { authFile, isOfThisHost } from "./registry-files.ts";
import { AUTHFILE, CALL } from "./sandbox.ts";
import { BuildahError } from "./run-buildah.ts";
import type { StoredImage } from "./stored-images.ts";

/**
 * Pushes an image to a registry that the policy allows. buildah does not report how many bytes it has sent, so all bytes of the image are counted before the
 * push starts.
 *
 * @throws Refusal `push.refused`, `registry.not-public`, `quota.push-bytes`
 */
export async function pushImage(
  dependencies: BuildahDependencies,
  caller: Caller,
  image: StoredImage,
  reference: Reference,
  { credentials, onLine }: PushOptions,
): Promise<void> {
  const { tenant, signal } = caller;
  const { domain, path, tag = "latest" } = reference;
  checkPush(tenant, reference);
  await checkHostOf(reference, tenant.policy.pushes);
  dependencies.limits.countPushed(tenant, image.size);
  const used = (await guardCredentials(tenant, domain, dependencies.env)) ?? credentials;
  const home = await homeOf(dependencies, caller);
  await using call = await openCallFolder(home);
  await using cgroup = await cgroupOf(dependencies, caller, call);
  onLine({ status: `The push refers to repository [${domain}/${path}]` });
  const argv = [
    "push",
    "--digestfile",
    `${CALL}/digest`,
    ...(used === undefined ? [] : ["--authfile", AUTHFILE]),
    ...(isOfThisHost(domain) ? ["--tls-verify=false"] : []),
    image.id.slice("sha256:".length),
    `docker://${fullName(reference)}`,
  ];
  try {
    await run(dependencies, home, argv, {
      signal,
      network: "host",
      cgroupFiles: cgroup.files,
      call: call.name,
      authFile: used === undefined ? undefined : authFile(domain, used),
      onLine: (line) => {
        const layer = /^Copying blob sha256:([0-9a-f]{12})/.exec(line)?.[1];
        if (layer !== undefined)
          onLine({
            status: "Pushing",
            id: layer,
            progressDetail: {},
          });
      },
    });
  } catch (error) {
    if (!(error instanceof BuildahError)) throw error;
    return onLine({ errorDetail: { message: error.message }, error: error.message });
  }
  const digest = (await readFile(join(call.path, "digest"), "utf8")).trim();
  onLine({ status: `${tag}: digest: ${digest} size: ${image.size}` });
  onLine({ progressDetail: {}, aux: { Tag: tag, Digest: digest, Size: image.size } });
  dependencies.events.emit(tenant.id, "push", dockerName(fullName(reference)), dockerName(fullName(reference)));
}
