import type { Credentials } from "docker-over-ssh/builds";

/**
 * Minimum characters of a masked password: replacing shorter ones would destroy much of a text, and reveal them by the
 * gaps.
 */
const MIN_LENGTH = 4;
const MASK = "***";

/** Replaces passwords in logs and stored texts: an engine or a registry may repeat the data that it receives. */
export class Masks {
  readonly #secrets = new Set<string>();

  add({ username, password }: Credentials): void {
    if (password.length < MIN_LENGTH) return;
    const basic = Buffer.from(`${username}:${password}`);
    const forms = [
      password,
      encodeURIComponent(password),
      JSON.stringify(password).slice(1, -1),
      basic.toString("base64"),
      basic.toString("base64").replace(/=+$/, ""),
      basic.toString("base64url"),
    ];
    for (const form of forms) this.#secrets.add(form);
  }

  hide(text: string): string {
    // The longest first, because one may be part of another.
    const secrets = [...this.#secrets].toSorted((a, b) => b.length - a.length);
    return secrets.reduce((shown, secret) => shown.replaceAll(secret, MASK), text);
  }
}
