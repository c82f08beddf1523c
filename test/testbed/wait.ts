import { setTimeout as delay } from "node:timers/promises";

/**
 * Polls until `condition` returns something other than `false` or `undefined`.
 * @param what the condition for the error message, e.g. "the engine answers"
 * @param timeout ms
 * @throws when the time is up. The message ends with `explain()`, e.g. the end of a log
 */
export async function until<T>(
  what: string,
  condition: () => T | Promise<T>,
  { timeout = 30_000, explain = () => "" }: { timeout?: number; explain?: () => string } = {},
): Promise<Exclude<T, false | undefined>> {
  const deadline = Date.now() + timeout;
  for (;;) {
    const answer = await condition();
    if (answer !== false && answer !== undefined) return answer as Exclude<T, false | undefined>;
    if (Date.now() > deadline) {
      throw new Error(`waited ${timeout / 1000} s in vain until ${what}. ${explain()}`.trim());
    }
    await delay(25);
  }
}
