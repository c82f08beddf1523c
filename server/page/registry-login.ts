import { byId } from "./dom.ts";

export interface RegistryLogin {
  credentials?: { username: string; password: string };
}

/**
 * Requests credentials from the person, which are sent with one request and stored nowhere. Without a user there are no
 * credentials. Undefined: the person has cancelled the dialog.
 */
export async function askRegistryLogin(): Promise<RegistryLogin | undefined> {
  const dialog = byId("login-dialog", HTMLDialogElement);
  const [user, password] = [byId("login-user", HTMLInputElement), byId("login-password", HTMLInputElement)];
  return await new Promise((resolve) => {
    let login: RegistryLogin | undefined;
    const dialogEnd = new AbortController();
    const { signal } = dialogEnd;
    byId("login-form", HTMLFormElement).addEventListener(
      "submit",
      (event) => {
        event.preventDefault();
        login = user.value === "" ? {} : { credentials: { username: user.value, password: password.value } };
        dialog.close();
      },
      { signal },
    );
    byId("login-cancel", HTMLButtonElement).addEventListener("click", () => dialog.close(), { signal });
    dialog.addEventListener(
      "close",
      () => {
        dialogEnd.abort();
        [user.value, password.value] = ["", ""];
        resolve(login);
      },
      { signal },
    );
    dialog.showModal();
  });
}
