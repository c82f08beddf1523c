import { inspect } from "node:util";
import type { Credentials } from "../engine/credentials.ts";

/** Creates credentials whose password `console.log` and `util.inspect` do not show. `JSON.stringify` includes it. */
export function hiddenCredentials(username: string, password: string): Credentials {
  const shown = (): string => `Credentials { username: ${inspect(username)}, password: (not shown) }`;
  return Object.defineProperty({ username, password }, inspect.custom, { value: shown });
}
