import { byId } from "./dom.ts";

export interface RegistryLogin {
  credentials?: { username: string; password: string };
}

/** Asks for credentials, which go into one request and are kept nowhere. Without a user there are none. Undefined: the person has changed their mind. */
export async function askRegistryLogin(): Promise<RegistryLogin | undefined> {
  const dialog = byId("login-dialog", HTMLDialogElement);
  const [user, password] = [byId("login-user", HTMLInputElement), byId("login-password", HTMLInputElement)];
  return await new Promise((resolve) => {
    let login: RegistryLogin | undefined;
    const asked = new AbortController();
    const { signal } = asked;
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
        asked.abort();
        [user.value, password.value] = ["", ""];
        resolve(login);
      },
      { signal },
    );
    dialog.showModal();
  });
}
