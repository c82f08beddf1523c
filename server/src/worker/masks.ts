import type { Credentials } from "docker-over-ssh/builds";

/** Characters of a password, at least: to replace shorter ones would leave little of a text, and show them by what is missing. */
const MIN_LENGTH = 4;
const MASK = "***";

/** Replaces passwords in what is logged and kept: an engine or a registry may repeat what it was sent. */
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
    // The longest first: one may be part of another.
    const secrets = [...this.#secrets].toSorted((a, b) => b.length - a.length);
    return secrets.reduce((shown, secret) => shown.replaceAll(secret, MASK), text);
  }
}
