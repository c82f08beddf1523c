import type { Engine } from "../testbed/engine.ts";
import { until } from "../testbed/wait.ts";

/** ms for one look: docker-proxy takes connections before the container's network is up, and some of them never hear anything. */
const LOOK = 1000;

/** A registry that a test keeps beside the near engine, as a person would. */
export interface OwnRegistry extends AsyncDisposable {
  port: string;
  /** `127.0.0.1:PORT` */
  host: string;
}

export async function startRegistry(engine: Engine, reference = "registry:2"): Promise<OwnRegistry> {
  const id = (await engine.docker("run", "--detach", "--publish", "127.0.0.1::5000", reference)).stdout;
  const host = (await engine.docker("port", id, "5000")).stdout.split("\n")[0] ?? "";
  await until(`the registry at ${host} answers`, async () => {
    const look = fetch(`http://${host}/v2/`, { signal: AbortSignal.timeout(LOOK) });
    return await look.then(({ ok }) => ok).catch(() => false);
  });
  return {
    host,
    port: host.split(":")[1] ?? "",
    async [Symbol.asyncDispose]() {
      await engine.docker("rm", "--force", "--volumes", id);
    },
  };
}
