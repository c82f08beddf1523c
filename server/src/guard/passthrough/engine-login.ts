import type { Backend } from "../backend.ts";
import { EngineAnswer, type EngineApi } from "../engine/engine-api.ts";
import { Refusal } from "../refusal.ts";

/** The engine's name for Docker Hub */
const DOCKER_HUB = "https://index.docker.io/v1/";

/**
 * Makes the engine check credentials for `docker login`: it connects to the registry from the network from which it
 * pulls. Errors, and therefore audit lines, never contain the credentials.
 */
export function engineLogin(engine: Pick<EngineApi, "json">): NonNullable<Backend["login"]> {
  return async ({ signal }, registry, { username, password, identityToken, registryToken }) => {
    if (registryToken !== undefined) {
      throw new Refusal("login.token", "a registry token cannot be checked by a login", { statusCode: 400 });
    }
    const body = {
      username,
      password,
      serveraddress: registry === "docker.io" ? DOCKER_HUB : registry,
      ...(identityToken !== undefined && { identitytoken: identityToken }),
    };
    try {
      const found = await engine.json({ method: "POST", path: "/auth", body, signal });
      return tokenOf(found);
    } catch (error) {
      if (!(error instanceof EngineAnswer)) throw error;
      const basic = Buffer.from(`${username}:${password}`).toString("base64");
      const message = withoutSecrets(error.message, [password, identityToken ?? "", basic]);
      throw new Refusal("login.failed", message, { statusCode: error.statusCode });
    }
  };
}

function tokenOf(answer: unknown): string | undefined {
  if (typeof answer !== "object" || answer === null || !("IdentityToken" in answer)) return undefined;
  const { IdentityToken: token } = answer;
  return typeof token === "string" && token !== "" ? token : undefined;
}

/** A registry may include the credentials in its error. */
function withoutSecrets(message: string, secrets: readonly string[]): string {
  return secrets.some((secret) => secret !== "" && message.includes(secret))
    ? "the registry refused these credentials"
    : message;
}
