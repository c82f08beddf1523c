import { byId, setText } from "./dom.ts";

const KEY = "docker-over-ssh-token";

/** The token: requested when the server needs one, and stored only in this tab's session. */
export class Session {
  readonly #dialog = byId("token-dialog", HTMLDialogElement);
  readonly #input = byId("token", HTMLInputElement);
  readonly #error = byId("token-error", HTMLElement);
  readonly #signOut = byId("sign-out", HTMLButtonElement);
  #pendingToken: { promise: Promise<void>; resolve: () => void } | undefined;

  constructor() {
    byId("token-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.#take(this.#input.value.trim());
    });
    // The dialog cannot be cancelled, because the page is empty without a token.
    this.#dialog.addEventListener("cancel", (event) => event.preventDefault());
    this.#signOut.addEventListener("click", () => this.signOut());
    this.#signOut.hidden = this.token === undefined;
  }

  get token(): string | undefined {
    return sessionStorage.getItem(KEY) ?? undefined;
  }

  /**
   * Requests a token that replaces the one that the server has rejected; `undefined`: the request had none. Waits for
   * the person to enter it.
   */
  async replace(refused: string | undefined): Promise<void> {
    // Another request may already have requested one.
    if (this.token !== refused && this.token !== undefined) return;
    sessionStorage.removeItem(KEY);
    this.#signOut.hidden = true;
    if (refused !== undefined) this.#showProblem("The server does not accept this token.");
    const pending = (this.#pendingToken ??= Promise.withResolvers<void>());
    if (!this.#dialog.open) this.#dialog.showModal();
    await pending.promise;
  }

  /** Forgets the token, and reloads the page to forget all data that was fetched with it. */
  signOut(): void {
    sessionStorage.removeItem(KEY);
    history.replaceState(undefined, "", location.pathname);
    location.reload();
  }

  #take(token: string): void {
    if (token === "") return this.#showProblem("Enter a token.");
    // Characters that a header may contain
    if (!/^[\u0021-\u007e]+$/.test(token))
      return this.#showProblem("A token may contain only visible ASCII characters, without spaces.");
    sessionStorage.setItem(KEY, token);
    this.#input.value = "";
    this.#showProblem("");
    this.#signOut.hidden = false;
    this.#dialog.close();
    this.#pendingToken?.resolve();
    this.#pendingToken = undefined;
  }

  #showProblem(text: string): void {
    setText(this.#error, text);
    this.#input.setAttribute("aria-invalid", String(text !== ""));
  }
}
