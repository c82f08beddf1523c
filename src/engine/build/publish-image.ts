import { Failure } from "../../output/errors.ts";
import { oneLine } from "../../output/describe.ts";
import type { DockerApi } from "../api/docker-api.ts";
import { pushImage } from "../api/image-transfers.ts";
import { registryAuth } from "../api/registry-auth.ts";
import { splitName } from "../api/split-name.ts";
import { EngineError } from "../engine-error.ts";
import type { Credentials } from "../credentials.ts";
import type { PublishedImage, PublishOptions } from "../engine-builder.ts";

const REFUSED = /unauthorized|authentication required|no basic auth|denied|forbidden|\b40[13]\b/i;

/** Pushes a built image, with credentials from the user's side. */
export async function publishImage(
  api: DockerApi,
  reference: string,
  { answers, signal, onProgress }: PublishOptions,
): Promise<PublishedImage> {
  const { registry } = splitName(reference);
  const credentials = await answers.credentials(registry);
  try {
    if (credentials !== undefined) await checkCredentials(api, registry, credentials, signal);
    const digest = await pushImage(api, reference, {
      ...(credentials !== undefined && { credentials }),
      ...(onProgress !== undefined && { onProgress }),
      signal,
    });
    return { digest };
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof EngineError ? pushRefused(reference, registry, error, credentials !== undefined) : error;
  }
}

/**
 * Lets the engine log in (`POST /auth`, which stores nothing), because an engine with a graph driver (20.10 to 28.5) retries a push for 50
 * s if the registry refuses it with 401. Ignores other errors: those of the push are clearer.
 *
 * @throws EngineError when the registry refuses the credentials
 */
async function checkCredentials(
  api: DockerApi,
  registry: string,
  credentials: Credentials,
  signal: AbortSignal,
): Promise<void> {
  try {
    await api.json("POST", "/auth", { body: registryAuth(registry, credentials), signal });
  } catch (error) {
    if (!(error instanceof EngineError) || REFUSED.test(error.message)) throw error;
  }
}

function pushRefused(reference: string, registry: string, error: EngineError, hasCredentials: boolean): Failure {
  const isRefused = REFUSED.test(error.message);
  const login = registry.includes("index.docker.io") ? "docker login" : `docker login ${registry}`;
  return new Failure("push-refused", `the push of ${reference} failed: ${oneLine(error.message)}`, {
    expected: isRefused
      ? `credentials with which ${registry} accepts the image${hasCredentials ? "" : "; this side has none for it"}`
      : `a registry ${registry} that the engine's machine can reach`,
    hint: isRefused
      ? `Run \`${login}\` on this side, and check the name.`
      : "Check the name, and the network and the proxy settings of the engine.",
    cause: error,
  });
}
