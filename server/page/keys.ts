import { byId } from "./dom.ts";

export interface KeyActions {
  /**
   * Moves to the next build in the list, or to the previous one; `isArrow`: only from within the list. Returns whether
   * it moved.
   */
  move: (by: 1 | -1, isArrow: boolean) => boolean;
  filter: () => void;
  follow: () => void;
  error: () => void;
  back: () => void;
}

const KEY = "docker-over-ssh-keys-off";

/**
 * Handles keys anywhere except in fields. Keys of one letter can be switched off, because people who use speech input
 * type letters unintentionally.
 */
export function listenToKeys(actions: KeyActions): void {
  const dialog = byId("keys-dialog", HTMLDialogElement);
  const areOn = byId("keys-on", HTMLInputElement);
  areOn.checked = sessionStorage.getItem(KEY) === null;
  areOn.addEventListener("change", () => {
    if (areOn.checked) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, "1");
  });
  byId("keys-button", HTMLButtonElement).addEventListener("click", () => dialog.showModal());
  byId("keys-close", HTMLButtonElement).addEventListener("click", () => dialog.close());

  const letters: Record<string, () => void> = {
    j: () => actions.move(1, false),
    k: () => actions.move(-1, false),
    "/": actions.filter,
    f: actions.follow,
    e: actions.error,
    "?": () => dialog.showModal(),
  };
  addEventListener("keydown", (event) => {
    const { key, target } = event;
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    if (document.querySelector("dialog[open]") !== null) return;
    const isField = target instanceof HTMLInputElement || target instanceof HTMLSelectElement;
    if (key === "Escape") return actions.back();
    if (key === "ArrowDown" || key === "ArrowUp") {
      if (!(target instanceof HTMLSelectElement) && actions.move(key === "ArrowDown" ? 1 : -1, true))
        event.preventDefault();
      return;
    }
    const action = letters[key];
    if (isField || action === undefined || !areOn.checked) return;
    event.preventDefault();
    action();
  });
}
