import { registryCredentials } from "../credentials/registry-credentials.ts";
import { connectEngine } from "../engine/open/connect-engine.ts";
import type { Context } from "../transfer.ts";
import { buildFromStdin } from "./build-from-stdin.ts";
import type { FactoryRequest } from "./factory-request.ts";

/** Builds the archive on this process's stdin with the engine of this machine, and with the credentials of this account. */
export async function runFactory(request: FactoryRequest, context: Context): Promise<void> {
  const { env, signal, output } = context;
  const credentials = registryCredentials({ env, warn: (warning) => output.warn(warning) });
  await using engine = await connectEngine(request.endpoint, env, signal, { timeout: request.timeout });
  await buildFromStdin(
    request,
    {
      engine,
      archive: process.stdin,
      answers: {
        credentials: async (host) => await credentials.for(host),
        secret: async () => undefined,
        agent: async () => await Promise.reject(new Error("a build of an archive on stdin has no ssh agent")),
      },
      print: (text) => void process.stdout.write(text),
    },
    context,
  );
}
