import type { Engine } from "../testbed/engine.ts";
import { until } from "../testbed/wait.ts";

/** The time limit of a request in ms. docker-proxy accepts connections before the container's network is up, and some of them never get an answer. */
const REQUEST_TIMEOUT = 1000;

/** A registry on the near engine, like a user's own. */
export interface OwnRegistry extends AsyncDisposable {
  port: string;
  /** `127.0.0.1:PORT` */
  host: string;
}

export async function startRegistry(engine: Engine, reference = "registry:2"): Promise<OwnRegistry> {
  const id = (await engine.docker("run", "--detach", "--publish", "127.0.0.1::5000", reference)).stdout;
  const host = (await engine.docker("port", id, "5000")).stdout.split("\n")[0] ?? "";
  await until(`the registry at ${host} answers`, async () => {
    const response = fetch(`http://${host}/v2/`, { signal: AbortSignal.timeout(REQUEST_TIMEOUT) });
    return await response.then(({ ok }) => ok).catch(() => false);
  });
  return {
    host,
    port: host.split(":")[1] ?? "",
    async [Symbol.asyncDispose]() {
      await engine.docker("rm", "--force", "--volumes", id);
    },
  };
}
