import { TEMPORARY_PATH } from "../engine/run-id.ts";
import { newCredentials } from "../registry/password.ts";
import type { RegistryChoice } from "../registry/registry.ts";
import { departByRegistry } from "./by-registry.ts";
import type { Departure, DepartureOptions } from "./departure.ts";
import { departEmbedded } from "./embedded.ts";

/** Makes what the receiver wants available in the chosen registry. */
export async function depart(
  choice: RegistryChoice | { kind: "embedded" },
  options: DepartureOptions,
): Promise<Departure> {
  if (options.want.nothing) return NOTHING;
  return choice.kind === "embedded" ? await departEmbedded(options) : await departByRegistry(choice, options);
}

/** For a receiver that has the image already. */
const NOTHING: Departure = {
  offer: { repository: `${TEMPORARY_PATH}/nothing`, tag: "nothing", credentials: newCredentials() },
  accept: (stream) => void stream.destroy(),
  signal: new AbortController().signal,
  [Symbol.asyncDispose]: async () => {},
};
