import { onHangUp } from "../../on-hang-up.ts";
import type { AuditEntry, AuditLog } from "./entry.ts";
import { collapseRepeats } from "./collapse-repeats.ts";
import { openLineFile } from "./line-file.ts";
import type { GuardMetrics } from "./metrics.ts";

/** Maximum characters of a text in a line: it may contain names that a tenant chooses. */
const MAX_TEXT = 1000;
const MAX_ABOUT = 20;

export interface AuditOptions {
  metrics: Pick<GuardMetrics, "entry" | "lineLost">;
  /** Prints a line for the operator. */
  printLine: (line: string) => void;
  /** Prints audit lines if no file is named. */
  print?: (text: string) => void;
}

/**
 * Opens the audit log: a file, which is opened again on SIGHUP, or stderr. Each entry is counted in the metrics. Disposing writes pending lines.
 *
 * @throws Failure `usage` for a file that cannot be opened
 */
export async function openAudit(
  { auditFile }: { auditFile?: string | undefined },
  { metrics, printLine, print = (text) => void process.stderr.write(text) }: AuditOptions,
): Promise<AuditLog & AsyncDisposable> {
  if (auditFile === undefined) {
    const gathered = collapseRepeats((entry) => print(`${lineOf(entry)}\n`));
    return {
      write(entry) {
        metrics.entry(entry);
        gathered.write(entry);
      },
      async [Symbol.asyncDispose]() {
        gathered[Symbol.dispose]();
      },
    };
  }
  const file = await openLineFile(auditFile, { onLost: () => metrics.lineLost(), printLine });
  const hangUp = onHangUp(() => file.reopen(), printLine);
  const gathered = collapseRepeats((entry) => file.write(lineOf(entry)));
  return {
    write(entry) {
      metrics.entry(entry);
      gathered.write(entry);
    },
    async [Symbol.asyncDispose]() {
      gathered[Symbol.dispose]();
      hangUp[Symbol.dispose]();
      await file[Symbol.asyncDispose]();
    },
  };
}

/** Returns an entry as a line of JSON of limited length that cannot send control sequences to a terminal. */
export function lineOf({
  time,
  tenant,
  call,
  decision,
  rule,
  reason,
  about,
  status,
  received,
  sent,
  ms,
  count,
}: AuditEntry): string {
  const line = JSON.stringify({
    time,
    tenant,
    call: cut(call),
    decision,
    rule,
    ...(status !== undefined && { status }),
    ...(reason !== undefined && { reason: cut(reason) }),
    ...(about !== undefined && about.length > 0 && { about: about.slice(0, MAX_ABOUT).map(cut) }),
    received,
    sent,
    ms: Math.round(ms * 10) / 10,
    ...(count !== undefined && { count }),
  });
  // JSON escapes only characters below U+0020. Others begin terminal sequences, break lines, or change the direction of
  // text.
  return line.replaceAll(/[\u007f-\u009f\u200b-\u200f\u2028-\u202f\u2060-\u2069\ufeff]/g, escape);
}

function escape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

function cut(text: string): string {
  return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}…`;
}
