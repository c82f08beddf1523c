import { watch } from "node:fs";

export interface KeepOptions {
  /** The watched folder */
  folder: string;
  /** ms between two checks without a change */
  interval: number;
  /** Checks, and repairs if necessary. Returns whether it repaired something. */
  repair: () => Promise<boolean>;
}

/** ms from a change to the check, because changes often occur together */
const DEBOUNCE = 20;
/**
 * ms from a repair to the next check, doubled by each repair, so that a tenant that removes its socket in a loop costs
 * almost nothing
 */
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 30_000;

/**
 * Checks and repairs after every change of a folder, and at intervals, one check after the other. Disposing ends it.
 */
export function keepInPlace({ folder, interval, repair }: KeepOptions): Disposable {
  let timer: NodeJS.Timeout | undefined;
  let due = Number.POSITIVE_INFINITY;
  let notBefore = 0;
  let pause = FIRST_PAUSE;
  let isOver = false;
  let isChecking = false;

  const plan = (delay: number): void => {
    const at = Math.max(Date.now() + delay, notBefore);
    if (isOver || at >= due) return;
    clearTimeout(timer);
    due = at;
    if (!isChecking) timer = setTimeout(() => void run(), at - Date.now()).unref();
  };
  // A tenant may change its folder continuously, so one change is reported, and the next only after the check.
  let watcher: { close: () => void } | undefined;
  const watchOnce = (): void => {
    watcher ??= watchFolder(folder, () => {
      watcher?.close();
      watcher = undefined;
      plan(DEBOUNCE);
    });
  };
  const run = async (): Promise<void> => {
    due = Number.POSITIVE_INFINITY;
    isChecking = true;
    watchOnce(); // before the check, so that no change is missed
    const wasWrong = await repair().catch(() => true);
    isChecking = false;
    pause = wasWrong ? Math.min(pause * 2, LONGEST_PAUSE) : pause;
    if (wasWrong) notBefore = Date.now() + pause;
    else if (Date.now() - notBefore > LONGEST_PAUSE) pause = FIRST_PAUSE;
    const delay = Math.min(interval, due - Date.now()); // a change during the check sets `due`
    due = Number.POSITIVE_INFINITY;
    plan(delay);
  };

  watchOnce();
  plan(interval);
  return {
    [Symbol.dispose]() {
      isOver = true;
      clearTimeout(timer);
      watcher?.close();
    },
  };
}

/** Returns undefined if watching fails, e.g. because inotify has no more watches. The periodic checks continue. */
function watchFolder(folder: string, onChange: () => void): { close: () => void } | undefined {
  try {
    const watcher = watch(folder, { persistent: false }, onChange);
    watcher.on("error", onChange);
    return watcher;
  } catch {
    return undefined;
  }
}
