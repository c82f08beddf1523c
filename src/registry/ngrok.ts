import { Failure, messageOf } from "../output/errors.ts";

/** A public address that connects to a port of this machine. Disposing closes it. */
export interface PublicAddress extends AsyncDisposable {
  /** The host, with the port unless that is the scheme's default. */
  readonly host: string;
}

/**
 * Opens a public HTTPS address for a port of 127.0.0.1 through ngrok's cloud, with the optional package @ngrok/ngrok. Rejects with
 * `registry-unavailable`.
 *
 * @param token an auth token, or `true` for an agent without one
 */
export async function openPublicAddress(port: number, token: string | true): Promise<PublicAddress> {
  const { forward } = await loadNgrok();
  try {
    const listener = await forward({ addr: port, ...(token === true ? {} : { authtoken: token }) });
    const url = listener.url();
    if (url === null) {
      await listener.close();
      throw new Error("ngrok returned no address");
    }
    return { host: new URL(url).host, [Symbol.asyncDispose]: () => listener.close() };
  } catch (error) {
    // ngrok's message may quote the token.
    const message = token === true ? messageOf(error) : messageOf(error).replaceAll(token, "[token]");
    throw new Failure("registry-unavailable", `ngrok did not open a public address: ${message}`, {
      expected: "DOCKER_REGISTRY_NGROK to hold a valid auth token, and ngrok's cloud to be reachable",
      hint: "Check the token; or, if the engine is on this machine, unset DOCKER_REGISTRY_NGROK.",
    });
  }
}

async function loadNgrok(): Promise<typeof import("@ngrok/ngrok")> {
  try {
    return await import("@ngrok/ngrok");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new Failure(
      "registry-unavailable",
      "DOCKER_REGISTRY_NGROK is set, but the optional package @ngrok/ngrok is not installed",
      {
        expected: "@ngrok/ngrok next to docker-over-ssh",
        hint: "npm install --global @ngrok/ngrok, or unset DOCKER_REGISTRY_NGROK.",
        cause: error,
      },
    );
  }
}
