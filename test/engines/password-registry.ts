import { hash } from "bcryptjs";
import type { Engine } from "../testbed/engine.ts";
import { until } from "../testbed/wait.ts";
import type { OwnRegistry } from "./registry.ts";

const FILE = "/htpasswd";

/** Starts a registry on the near engine that requires a user and a password (htpasswd), without TLS. */
export async function startPasswordRegistry(
  engine: Engine,
  { username, password }: { username: string; password: string },
): Promise<OwnRegistry> {
  const settings = {
    REGISTRY_AUTH: "htpasswd",
    REGISTRY_AUTH_HTPASSWD_REALM: "tests",
    REGISTRY_AUTH_HTPASSWD_PATH: FILE,
    USERS: `${username}:${await hash(password, 4)}`,
  };
  const options = Object.entries(settings).flatMap(([key, value]) => ["--env", `${key}=${value}`]);
  const script = `echo "$USERS" > ${FILE}; exec registry serve /etc/docker/registry/config.yml`;
  const words = ["run", "--detach", "--publish", "127.0.0.1::5000", ...options, "registry:2", "sh", "-c", script];
  const id = (await engine.docker(...words)).stdout;
  const host = (await engine.docker("port", id, "5000")).stdout.split("\n")[0] ?? "";
  await until(`the registry at ${host} asks for a password`, async () => {
    const response = fetch(`http://${host}/v2/`, { signal: AbortSignal.timeout(1000) });
    return await response.then(({ status }) => status === 401).catch(() => false);
  });
  return {
    host,
    port: host.split(":")[1] ?? "",
    async [Symbol.asyncDispose]() {
      await engine.docker("rm", "--force", "--volumes", id);
    },
  };
}
