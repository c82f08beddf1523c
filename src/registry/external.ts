import { Failure } from "../output/errors.ts";
import { pingRegistry } from "./api.ts";
import { openPublicAddress } from "./ngrok.ts";
import { newCredentials } from "./password.ts";
import { passwordProxy } from "./password-proxy.ts";
import type { RegistryChoice, RegistryOptions, TemporaryRegistry } from "./registry.ts";

/**
 * Uses a registry that is there already, and leaves it as it is (what is pushed stays in it, under `docker-over-ssh/`).
 * Whoever comes through the tunnel or through ngrok must show a password made for this run; the engine on this machine
 * pushes to it straight.
 */
export async function useExternalRegistry(
  choice: Extract<RegistryChoice, { kind: "external" }>,
  { signal, onProgress }: RegistryOptions,
): Promise<TemporaryRegistry> {
  const place = `${choice.host}:${choice.port}`;
  const url = `http://${place}`;
  await needRegistry(url, place, signal);
  const credentials = newCredentials();
  const gone = new AbortController();
  const proxy = passwordProxy(url, credentials, (error) =>
    gone.abort(new Failure("registry-unavailable", `the registry at ${place} is gone: ${error.message}`, EXPECTED)),
  );
  try {
    const exposed =
      choice.ngrok === undefined ? undefined : await expose(await proxy.listen(), choice.ngrok, onProgress);
    return {
      pushHost: exposed?.host ?? place,
      pushCredentials: exposed === undefined ? undefined : credentials,
      credentials,
      url,
      signal: gone.signal,
      accept: (stream) => proxy.accept(stream),
      complaints: async () => "",
      async [Symbol.asyncDispose]() {
        await exposed?.[Symbol.asyncDispose]();
        await proxy[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await proxy[Symbol.asyncDispose]();
    throw error;
  }
}

async function expose(
  port: number,
  token: string | true,
  onProgress: RegistryOptions["onProgress"],
): ReturnType<typeof openPublicAddress> {
  onProgress({ stage: "opening a public address", current: 0 });
  return await openPublicAddress(port, token);
}

const EXPECTED = {
  expected: "a registry that speaks the OCI distribution protocol over HTTP and asks for no password",
  hint: "Start one (docker run -d -p 127.0.0.1:5000:5000 registry:2), or let docker-over-ssh start one with --registry container.",
};

async function needRegistry(url: string, place: string, signal: AbortSignal): Promise<void> {
  const { ping, why } = await pingRegistry(url, undefined, signal);
  if (ping === "ready") return;
  const message = {
    unreachable: `no registry answers at ${place}: ${why}`,
    "not-a-registry": `what listens at ${place} is not a registry: ${why}`,
    "asks-for-password": `the registry at ${place} asks for a password`,
  }[ping];
  throw new Failure("registry-unavailable", message, EXPECTED);
}
