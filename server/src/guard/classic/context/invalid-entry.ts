import { Refusal } from "../../refusal.ts";

/** Returns a Refusal 400 for an entry. */
export function invalidEntry(message: string): Refusal {
  return new Refusal("context.entry", `the context has an entry that is not allowed: ${message}`, { statusCode: 400 });
}
