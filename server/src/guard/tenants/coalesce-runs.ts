/** Runs a task one at a time: requests during a run cause one more run. */
export interface CoalescedRuns {
  /** Resolves when a run that began after this call has ended; rejects like that run. */
  request(): Promise<void>;
}

export function coalesceRuns(work: () => Promise<void>): CoalescedRuns {
  let running: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  const start = (): Promise<void> => {
    const run = work().finally(() => {
      if (running === run) running = undefined;
    });
    running = run;
    return run;
  };
  return {
    async request() {
      if (running === undefined) return await start();
      next ??= running
        .catch(() => {})
        .then(async () => {
          next = undefined;
          await start();
        });
      await next;
    },
  };
}
