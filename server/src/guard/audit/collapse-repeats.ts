import type { AuditEntry, AuditLog } from "./entry.ts";

/**
 * Rules for tenants that send too fast. Such requests cost the tenant almost nothing, and their lines would fill the
 * disk.
 */
const COLLAPSED: ReadonlySet<string> = new Set([
  "quota.requests",
  "quota.calls",
  "quota.connections",
  "connection.flood",
]);
/** ms */
const LINE_EVERY = 1000;

/** The refusals of a tenant by one rule. It has an entry if some of them have no line yet */
interface Repeats {
  waiting: AuditEntry | undefined;
  timer: NodeJS.Timeout;
}

/**
 * Passes entries on. If a tenant sends too fast, it passes on the first refusal, and after that at most one each
 * second, with the number of refusals that it stands for. Disposing passes on pending entries.
 */
export function collapseRepeats(write: (entry: AuditEntry) => void, every = LINE_EVERY): AuditLog & Disposable {
  const repeats = new Map<string, Repeats>();
  const wait = (key: string): NodeJS.Timeout =>
    setTimeout(() => {
      const found = repeats.get(key);
      if (found?.waiting === undefined) {
        repeats.delete(key);
        return;
      }
      write(found.waiting);
      repeats.set(key, { waiting: undefined, timer: wait(key) });
    }, every).unref();
  return {
    write(entry) {
      if (!COLLAPSED.has(entry.rule)) {
        write(entry);
        return;
      }
      const key = JSON.stringify([entry.tenant, entry.rule]);
      const found = repeats.get(key);
      if (found === undefined) {
        write(entry);
        repeats.set(key, { waiting: undefined, timer: wait(key) });
      } else {
        found.waiting = added(found.waiting, entry);
      }
    },
    [Symbol.dispose]() {
      for (const { waiting, timer } of repeats.values()) {
        clearTimeout(timer);
        if (waiting !== undefined) write(waiting);
      }
      repeats.clear();
    },
  };
}

/** Returns the last entry, with the bytes of all */
function added(before: AuditEntry | undefined, entry: AuditEntry): AuditEntry {
  return {
    ...entry,
    received: (before?.received ?? 0) + entry.received,
    sent: (before?.sent ?? 0) + entry.sent,
    count: (before?.count ?? 0) + 1,
  };
}
