import { byId, setText } from "./dom.ts";

const KEY = "docker-over-ssh-token";

/** The token: it is asked for when the server wants one, and kept in this tab's session alone. */
export class Session {
  readonly #dialog = byId("token-dialog", HTMLDialogElement);
  readonly #input = byId("token", HTMLInputElement);
  readonly #error = byId("token-error", HTMLElement);
  readonly #signOut = byId("sign-out", HTMLButtonElement);
  #asked: { promise: Promise<void>; resolve: () => void } | undefined;

  constructor() {
    byId("token-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.#take(this.#input.value.trim());
    });
    // There is nothing behind the dialog to go back to.
    this.#dialog.addEventListener("cancel", (event) => event.preventDefault());
    this.#signOut.addEventListener("click", () => this.signOut());
    this.#signOut.hidden = this.token === undefined;
  }

  get token(): string | undefined {
    return sessionStorage.getItem(KEY) ?? undefined;
  }

  /** Asks for a token in place of the one that the server has refused; `undefined`: the request had none. Waits until there is one. */
  async replace(refused: string | undefined): Promise<void> {
    // Another request may have asked already.
    if (this.token !== refused && this.token !== undefined) return;
    sessionStorage.removeItem(KEY);
    this.#signOut.hidden = true;
    if (refused !== undefined) this.#tell("The server does not accept this token.");
    const asked = (this.#asked ??= Promise.withResolvers<void>());
    if (!this.#dialog.open) this.#dialog.showModal();
    await asked.promise;
  }

  /** Forgets the token, and with a new page all that was fetched with it. */
  signOut(): void {
    sessionStorage.removeItem(KEY);
    history.replaceState(undefined, "", location.pathname);
    location.reload();
  }

  #take(token: string): void {
    if (token === "") return this.#tell("Enter a token.");
    // What a header may carry
    if (!/^[\u0021-\u007e]+$/.test(token))
      return this.#tell("A token has only visible ASCII characters, without spaces.");
    sessionStorage.setItem(KEY, token);
    this.#input.value = "";
    this.#tell("");
    this.#signOut.hidden = false;
    this.#dialog.close();
    this.#asked?.resolve();
    this.#asked = undefined;
  }

  #tell(text: string): void {
    setText(this.#error, text);
    this.#input.setAttribute("aria-invalid", String(text !== ""));
  }
}
