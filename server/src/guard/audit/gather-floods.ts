import type { AuditEntry, AuditLog } from "./entry.ts";

/** What a tenant is refused that is too fast. It costs the tenant next to nothing, and would fill the disk with lines. */
const FLOODS: ReadonlySet<string> = new Set(["quota.requests", "quota.calls", "quota.connections", "connection.flood"]);
/** ms */
const EVERY = 1000;

/** A flood of one tenant: the entry for those that wait for their line; undefined: none does */
interface Flood {
  waiting: AuditEntry | undefined;
  timer: NodeJS.Timeout;
}

/**
 * Passes entries on; of refusals of a tenant that is too fast, the first, and then at most one each second, with the number of those that it stands for.
 * Disposing passes on what waits.
 */
export function gatherFloods(write: (entry: AuditEntry) => void, every = EVERY): AuditLog & Disposable {
  const floods = new Map<string, Flood>();
  const wait = (key: string): NodeJS.Timeout =>
    setTimeout(() => {
      const flood = floods.get(key);
      if (flood?.waiting === undefined) {
        floods.delete(key);
        return;
      }
      write(flood.waiting);
      floods.set(key, { waiting: undefined, timer: wait(key) });
    }, every).unref();
  return {
    write(entry) {
      if (!FLOODS.has(entry.rule)) {
        write(entry);
        return;
      }
      const key = JSON.stringify([entry.tenant, entry.rule]);
      const flood = floods.get(key);
      if (flood === undefined) {
        write(entry);
        floods.set(key, { waiting: undefined, timer: wait(key) });
      } else {
        flood.waiting = added(flood.waiting, entry);
      }
    },
    [Symbol.dispose]() {
      for (const { waiting, timer } of floods.values()) {
        clearTimeout(timer);
        if (waiting !== undefined) write(waiting);
      }
      floods.clear();
    },
  };
}

/** The last of them, with what all have moved */
function added(before: AuditEntry | undefined, entry: AuditEntry): AuditEntry {
  return {
    ...entry,
    received: (before?.received ?? 0) + entry.received,
    sent: (before?.sent ?? 0) + entry.sent,
    count: (before?.count ?? 0) + 1,
  };
}
