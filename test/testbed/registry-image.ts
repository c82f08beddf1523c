import type { Engine } from "./engine.ts";
import { baseFiles, folderEntry, programWithLibraries } from "./program-files.ts";
import { fileEntry, tar } from "./tar.ts";

const config = `version: 0.1
log: { fields: { service: registry } }
storage: { filesystem: { rootdirectory: /var/lib/registry }, delete: { enabled: true } }
http: { addr: ":5000" }
health: { storagedriver: { enabled: true, interval: 10s, threshold: 3 } }
`;

/** The entrypoint, as in Docker Hub's image: it accepts a settings file or a subcommand. */
const entrypoint = `#!/bin/sh
set -e
case "$1" in
  *.yaml | *.yml) set -- registry serve "$@" ;;
  serve | garbage-collect | help | -*) set -- registry "$@" ;;
esac
exec "$@"
`;

/**
 * Creates a `registry:2` from Debian's docker-registry, so that nothing is pulled from Docker Hub. It behaves like the real image: port 5000, a
 * volume, and `REGISTRY_…` variables for its settings.
 */
export async function registryImage(engine: Engine, reference = "registry:2"): Promise<void> {
  const files = [
    ...(await baseFiles()),
    ...(await programWithLibraries("docker-registry", "bin/registry")),
    ...["etc/docker", "etc/docker/registry", "var/lib", "var/lib/registry"].map(folderEntry),
    fileEntry("etc/docker/registry/config.yml", config),
    fileEntry("entrypoint.sh", entrypoint, 0o755),
  ];
  const changes = [
    "ENV PATH=/bin",
    'ENTRYPOINT ["/entrypoint.sh"]',
    'CMD ["/etc/docker/registry/config.yml"]',
    "EXPOSE 5000",
    "VOLUME /var/lib/registry",
  ].flatMap((change) => ["--change", change]);
  await engine.dockerWithInput(tar(files), ["import", ...changes, "-", reference]);
}
