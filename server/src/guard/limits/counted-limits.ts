import type { Limits } from "./limits.ts";

/** Counts usage, for metrics. */
export interface UseCounter {
  /** Counts a build until the result is disposed of. */
  build(tenant: string): Disposable;
  pushed(tenant: string, bytes: number): void;
}

/** Wraps limits so that usage is counted. */
export function countedLimits(limits: Limits, counter: UseCounter): Limits {
  return {
    async startBuild(tenant) {
      const slot = await limits.startBuild(tenant);
      const counted = counter.build(tenant.id);
      return {
        signal: slot.signal,
        async [Symbol.asyncDispose]() {
          counted[Symbol.dispose]();
          await slot[Symbol.asyncDispose]();
        },
      };
    },
    countPushed(tenant, bytes) {
      counter.pushed(tenant.id, bytes);
      limits.countPushed(tenant, bytes);
    },
    checkImages: (...words) => limits.checkImages(...words),
    reportImages: (...words) => limits.reportImages(...words),
    usage: (tenant) => limits.usage(tenant),
    idle: (tenant, timeout) => limits.idle(tenant, timeout),
    forget: (tenant) => limits.forget(tenant),
    [Symbol.asyncDispose]: async () => await limits[Symbol.asyncDispose](),
  };
}
