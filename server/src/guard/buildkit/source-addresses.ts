import { Refusal } from "../refusal.ts";
import type { Policy } from "../policy/policy.ts";

/**
 * Checks an address that the engine fetches: of `ADD`, a git repository, or a remote context.
 *
 * @throws Refusal `source.refused`
 */
export function checkAddress(address: string, { sources }: Policy): void {
  const isClean = !/[\s\\]/.test(address) && !/(?:^|\/)(?:\.|%2e){1,2}(?:\/|$|[?#])/i.test(address);
  if (isClean && sources.some((prefix) => address.startsWith(prefix))) return;
  throw new Refusal(
    "source.refused",
    sources.length === 0
      ? `"${address}": builds may fetch nothing here by themselves; have the file in the build context`
      : `"${address}" is not an address that builds may fetch here: those that begin with ${sources.join(", ")} are`,
  );
}
