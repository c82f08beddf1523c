import type { Credentials } from "../engine/credentials.ts";
import { TEMPORARY_PATH } from "../run/run-id.ts";
import { Failure } from "../output/errors.ts";
import { pingRegistry } from "./ping.ts";
import { openPublicAddress, type PublicAddress } from "./ngrok.ts";
import { newCredentials } from "./password.ts";
import { passwordProxy, allowWrites } from "./password-proxy.ts";
import type { RegistryChoice, RegistryOptions, TemporaryRegistry } from "./temporary-registry.ts";

/**
 * Uses a running registry as the temporary registry. Pushed content stays in it, below `docker-over-ssh/`. An engine on this machine
 * pushes to it directly. An engine behind ngrok may only write below `docker-over-ssh/`, with a password that is created for this run.
 */
export async function useExternalRegistry(
  choice: Extract<RegistryChoice, { kind: "external" }>,
  { signal, onProgress }: RegistryOptions,
): Promise<TemporaryRegistry> {
  const address = `${choice.host}:${choice.port}`;
  const url = `http://${address}`;
  await requireRegistry(url, address, signal);
  const gone = new AbortController();
  const reportUnreachable = (reason: string): void =>
    gone.abort(
      new Failure("registry-unavailable", `the registry at ${address} is no longer available: ${reason}`, EXPECTED),
    );
  const exposed =
    choice.ngrok === undefined ? undefined : await expose(choice.ngrok, url, reportUnreachable, onProgress);
  return {
    pushHost: exposed?.host ?? address,
    pushCredentials: exposed?.credentials,
    url,
    ownCredentials: undefined,
    signal: gone.signal,
    reportUnreachable,
    readLogs: async () => "",
    [Symbol.asyncDispose]: async () => await exposed?.[Symbol.asyncDispose](),
  };
}

type ExposedRegistry = PublicAddress & { credentials: Credentials };

/** Opens a public address that connects to the registry through a password proxy. */
async function expose(
  token: string | true,
  target: string,
  onUnreachable: (reason: string) => void,
  onProgress: RegistryOptions["onProgress"],
): Promise<ExposedRegistry> {
  onProgress({ stage: "opening-address", current: 0 });
  const credentials = newCredentials();
  const proxy = passwordProxy({
    target,
    credentials,
    allows: allowWrites(TEMPORARY_PATH),
    onUnreachable: (error) => onUnreachable(error.message),
  });
  try {
    const address = await openPublicAddress(await proxy.listen(), token);
    return {
      host: address.host,
      credentials,
      async [Symbol.asyncDispose]() {
        // An address that cannot be closed is harmless when the proxy is closed.
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

/** Rejects with a `registry-unavailable` Failure unless a registry without a password answers. */
async function requireRegistry(url: string, address: string, signal: AbortSignal): Promise<void> {
  const { state, reason } = await pingRegistry(url, undefined, signal);
  if (state === "ready") return;
  const message = {
    unreachable: `no registry answers at ${address}: ${reason}`,
    "not-a-registry": `the server at ${address} is not a registry: ${reason}`,
    "asks-for-password": `the registry at ${address} asks for a password`,
  }[state];
  throw new Failure("registry-unavailable", message, EXPECTED);
}
