/**
 * Has calls share the work that they wait for: there is one run at a time, and one that waits for its end, which all that call meanwhile join. None joins a
 * run that has begun: what it was called for may be newer.
 */
export function shared<T>(work: () => Promise<T>): () => Promise<T> {
  let running: Promise<unknown> | undefined;
  let next: Promise<T> | undefined;
  const start = (): Promise<T> => {
    const run = work();
    const settled = run.then(
      () => {},
      () => {},
    );
    running = settled;
    void settled.then(() => {
      if (running === settled) running = undefined;
    });
    return run;
  };
  return () => {
    if (running === undefined) return start();
    next ??= running.then(async () => {
      next = undefined;
      return await start();
    });
    return next;
  };
}
