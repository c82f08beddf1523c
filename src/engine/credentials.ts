/** Credentials of a registry. */
export interface Credentials {
  /** {@link TOKEN_USER} if the password is an identity token */
  username: string;
  password: string;
}

/** The user name that stands for an identity token in a docker config (docker-credential-helpers). */
export const TOKEN_USER = "<token>";

/** Maximum bytes of a secret: BuildKit accepts no larger one (session/secrets/secretsprovider, MaxSecretSize). */
export const MAX_SECRET = 500 * 1024;
