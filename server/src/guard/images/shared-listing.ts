/**
 * Returns a function whose calls share runs of `work`. One run is active at a time. All calls during a run share the next run, which begins at its end. No call
 * shares a run that has already begun, because its result may lack a change that precedes the call.
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
