import { TEMPORARY_PATH } from "../run/run-id.ts";
import { Failure } from "../output/errors.ts";
import { pingRegistry } from "./ping.ts";
import { openPublicAddress, type PublicAddress } from "./ngrok.ts";
import { newCredentials } from "./password.ts";
import { passwordProxy, writesOnly } from "./password-proxy.ts";
import type { RegistryChoice, RegistryOptions, TemporaryRegistry } from "./temporary-registry.ts";

/**
 * Uses a registry that is there already, and leaves it as it is (what is pushed stays in it, under `docker-over-ssh/`).
 * Whoever comes through the tunnel may read the one image, whoever comes through ngrok may write below `docker-over-ssh/`,
 * each with a password made for this run; the engine on this machine pushes to it straight.
 */
export async function useExternalRegistry(
  choice: Extract<RegistryChoice, { kind: "external" }>,
  { signal, onProgress }: RegistryOptions,
): Promise<TemporaryRegistry> {
  const location = `${choice.host}:${choice.port}`;
  const url = `http://${location}`;
  await needRegistry(url, location, signal);
  const gone = new AbortController();
  const lost = (why: string): void =>
    gone.abort(new Failure("registry-unavailable", `the registry at ${location} is gone: ${why}`, EXPECTED));
  const exposed = choice.ngrok === undefined ? undefined : await expose(choice.ngrok, url, lost, onProgress);
  return {
    pushHost: exposed?.host ?? location,
    pushCredentials: exposed?.credentials,
    url,
    ownCredentials: undefined,
    signal: gone.signal,
    lost,
    complaints: async () => "",
    [Symbol.asyncDispose]: async () => await exposed?.[Symbol.asyncDispose](),
  };
}

type Exposed = PublicAddress & { credentials: ReturnType<typeof newCredentials> };

/** A public address of the registry, behind a password of its own. */
async function expose(
  token: string | true,
  target: string,
  lost: (why: string) => void,
  onProgress: RegistryOptions["onProgress"],
): Promise<Exposed> {
  onProgress({ stage: "opening a public address", current: 0 });
  const credentials = newCredentials();
  const proxy = passwordProxy({
    target,
    credentials,
    allows: writesOnly(TEMPORARY_PATH),
    onUnreachable: (error) => lost(error.message),
  });
  try {
    const address = await openPublicAddress(await proxy.listen(), token);
    return {
      host: address.host,
      credentials,
      async [Symbol.asyncDispose]() {
        // An address that will not close leads nowhere once the gate is shut.
        await Promise.resolve(address[Symbol.asyncDispose]()).catch(() => {});
        await proxy[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await proxy[Symbol.asyncDispose]();
    throw error;
  }
}

const EXPECTED = {
  expected: "a registry that speaks the OCI distribution protocol over HTTP and asks for no password",
  hint: "Start one (docker run -d -p 127.0.0.1:5000:5000 registry:2), or let docker-over-ssh start one with --registry container.",
};

async function needRegistry(url: string, location: string, signal: AbortSignal): Promise<void> {
  const { ping, why } = await pingRegistry(url, undefined, signal);
  if (ping === "ready") return;
  const message = {
    unreachable: `no registry answers at ${location}: ${why}`,
    "not-a-registry": `what listens at ${location} is not a registry: ${why}`,
    "asks-for-password": `the registry at ${location} asks for a password`,
  }[ping];
  throw new Failure("registry-unavailable", message, EXPECTED);
}
