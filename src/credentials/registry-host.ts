/** The name of Docker Hub in the docker config and for credential helpers: the URL of its first API. */
const DOCKER_HUB = "https://index.docker.io/v1/";
const HUB_HOSTS = new Set(["docker.io", "index.docker.io", "registry-1.docker.io"]);

/** Returns the name of a registry in the docker config; `host` may have a scheme and a path. */
export function registryKey(host: string): string {
  const name = hostname(host);
  return HUB_HOSTS.has(name) ? DOCKER_HUB : name;
}

/** Returns host and port, as docker/cli's `ConvertToHostname` does: early versions of the config contain URLs. */
function hostname(host: string): string {
  return host.replace(/^[a-z][a-z0-9+.-]*:\/\//i, "").replace(/\/.*$/s, "");
}
