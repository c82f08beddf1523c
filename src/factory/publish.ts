import { EngineError } from "../engine/engine-error.ts";
import type { BuildAnswers, EngineBuilds } from "../engine/engine-builds.ts";
import type { EngineImages } from "../engine/engine-images.ts";
import { taggableName, type Reference } from "../image/reference.ts";
import { Failure, messageOf } from "../output/errors.ts";

export type PublishingEngine = EngineBuilds & Pick<EngineImages, "pushImage">;

/** The last line of a push, as engines and Podman print it: `v2: digest: sha256:… size: 1234` */
const DIGEST = /digest: (sha256:[0-9a-f]{64})/;

/**
 * Pushes an image to the registry in its name, with the credentials of this machine. Returns the digest of its manifest there, where the engine
 * tells. Throws a Failure `push-refused` in the words of the engine.
 */
export async function publish(
  engine: PublishingEngine,
  name: Reference,
  answers: BuildAnswers,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { domain } = name;
  const reference = taggableName(name) ?? name.given;
  let digest: string | undefined;
  try {
    const credentials = await answers.credentials(domain === "docker.io" ? "https://index.docker.io/v1/" : domain);
    await engine.pushImage(reference, {
      ...(credentials && { credentials }),
      signal,
      onProgress: ({ status }) => (digest = DIGEST.exec(status)?.[1] ?? digest),
    });
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof EngineError)) throw error;
    throw new Failure(
      "push-refused",
      `the image is built, and ${domain} did not take ${reference}: ${messageOf(error)}`,
      {
        expected: "a registry that this engine reaches, and credentials of this account that may write there",
        hint: `docker login ${domain}, as the account that builds`,
        cause: error,
      },
    );
  }
  return digest;
}
