import { InvalidValue } from "docker-over-ssh/builds";
import type { ListedTenant } from "../settings.ts";
import { isTenantId, MAX_TENANT_ID } from "../tenant.ts";
import { wrong } from "./read-terms.ts";
import { checkSocket } from "./term-values.ts";

/** Throws a Failure `usage` for an invalid name of a tenant. */
export function checkName(value: unknown, where: string): string {
  if (typeof value === "string" && isTenantId(value)) return value;
  const problem = value === undefined ? "has no name" : `has the name ${JSON.stringify(value)}, which cannot be used`;
  throw wrong(
    `${where} ${problem}`,
    `lower-case letters, digits and single hyphens, at most ${MAX_TENANT_ID}, e.g. team-a`,
  );
}

/** Throws a Failure `usage` for an invalid path of a socket. */
export function checkSocketOf(value: unknown, where: string): string {
  if (typeof value !== "string") throw wrong(`${where} has no socket`, "the absolute path of its socket");
  try {
    return checkSocket(value);
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    throw wrong(`${where} cannot have the socket ${JSON.stringify(value)}`, error.message, error);
  }
}

/** Throws a Failure `usage` if two tenants have the same name or the same socket. */
export function checkDifferent(tenants: readonly Pick<ListedTenant, "id" | "socket">[], where: string): void {
  for (const [index, { id, socket }] of tenants.entries()) {
    const before = tenants.slice(0, index);
    if (before.some((other) => other.id === id))
      throw wrong(`${where}: two tenants have the name ${id}`, "names that differ");
    const other = before.find((one) => one.socket === socket);
    if (other !== undefined) {
      throw wrong(`${where}: the tenants ${other.id} and ${id} have the same socket, ${socket}`, "a socket for each");
    }
  }
}
