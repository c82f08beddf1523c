import { registryKey } from "docker-over-ssh/builds";
import { matchesHost, partsOf } from "../policy/patterns.ts";
import { checkPublicHost } from "../policy/registry-host.ts";
import { Refusal } from "../refusal.ts";
import { AUTH_CONFIG, credentialsOf, serverAddress } from "../request/registry-auth.ts";
import { jsonCall } from "./call.ts";

/** docker's default registry */
const DOCKER_HUB = "docker.io";

/**
 * `docker login`. The engine connects to the registry from the host's network, so the guard allows only registries that
 * the tenant may push to or pull from. Otherwise the call could be used to scan that network.
 */
export const LOGIN = jsonCall({
  rule: "system.login",
  method: "POST",
  path: "/auth",
  does: "Checks credentials at a registry that the tenant may push to or pull from.",
  query: {},
  schema: AUTH_CONFIG,
  read(_request, config) {
    const credentials = credentialsOf(config);
    const registry = hostOf(serverAddress(config));
    return {
      about: [registry],
      async perform({ caller, backend, reply }) {
        const { pushes, pulls, bases } = caller.tenant.policy;
        const patterns = [...pushes, ...pulls, ...bases].filter((pattern) => matchesHost(pattern, registry));
        if (patterns.length === 0) {
          throw new Refusal(
            "login.registry",
            `${registry} is not a registry to which this tenant may push, or from which it may pull`,
          );
        }
        if (credentials === undefined) {
          throw new Refusal("auth.invalid", "no username and password were given", { statusCode: 400 });
        }
        if (!patterns.some((pattern) => partsOf(pattern)?.host === registry)) await checkPublicHost(registry);
        const token = await backend.login?.(caller, registry, credentials);
        const Status =
          backend.login === undefined
            ? "Not checked: the registry checks the credentials when they are used"
            : "Login Succeeded";
        reply.json(200, { Status, IdentityToken: token ?? "" });
      },
    };
  },
});

function hostOf(address: string | undefined): string {
  const key = registryKey(address === undefined || address === "" ? DOCKER_HUB : address).toLowerCase();
  const host = key === registryKey(DOCKER_HUB) ? DOCKER_HUB : key;
  if (!/^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::\d{1,5})?$/.test(host)) {
    throw new Refusal("auth.invalid", "serveraddress must be the host of a registry", { statusCode: 400 });
  }
  return host;
}
