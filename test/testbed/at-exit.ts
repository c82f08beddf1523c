/**
 * Runs `task` once: when the process exits, or is told to by a signal that nobody else handles.
 * @returns takes it back
 */
export function atExit(task: () => void): () => void {
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  const cancel = () => {
    process.off("exit", onExit);
    for (const signal of signals) process.off(signal, onSignal);
  };
  const onExit = () => {
    cancel();
    task();
  };
  const onSignal = (signal: NodeJS.Signals) => {
    // Others who listen want to end in good order; they will exit, and we then hear of that.
    if (process.listenerCount(signal) > 1) return;
    onExit();
    process.kill(process.pid, signal);
  };
  process.on("exit", onExit);
  for (const signal of signals) process.on(signal, onSignal);
  return cancel;
}
