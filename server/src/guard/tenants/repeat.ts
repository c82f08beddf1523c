/** Runs work one at a time: a request while it runs has it run once more. */
export interface Repeated {
  /** Resolves when a run that began after this call has ended; rejects as that run does. */
  ask(): Promise<void>;
}

export function repeated(work: () => Promise<void>): Repeated {
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
    async ask() {
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
