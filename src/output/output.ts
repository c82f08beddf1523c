import type { Detail } from "./details.ts";
import type { Note, Progress, TransferEvent, TransferName, Warning } from "./events.ts";

export type { Progress } from "./events.ts";

/** Which events are printed, and how. */
export interface OutputOptions {
  /** Neither notes nor progress */
  quiet: boolean;
  /** Details as well */
  verbose: boolean;
  progress: boolean;
  /** For programs: one event per line on stdout, and only errors on stderr. */
  json: boolean;
}

/** Receives the events of a transfer. */
export interface Output {
  event(event: TransferEvent): void;
  progress(progress: Progress): void;
  note(note: Note): void;
  warn(warning: Warning): void;
  /** For people who look for a reason (--verbose). */
  detail(detail: Detail): void;
}

/** Creates an output that passes each event to `onEvent`. */
export function outputTo(onEvent: (event: TransferEvent) => void): Output {
  return {
    event: onEvent,
    progress: (progress) => onEvent({ type: "progress", ...progress }),
    note: (note) => onEvent({ type: "note", ...note }),
    warn: (warning) => onEvent({ type: "warning", ...warning }),
    detail: (detail) => onEvent({ type: "detail", ...detail }),
  };
}

/**
 * Creates an output that adds the transfer's name to each event. Names that an inner output has set stay, so an output for a host can be
 * wrapped for each image.
 */
export function outputFor(output: Output, transfer: TransferName): Output {
  return outputTo((event) => output.event({ ...event, transfer: { ...transfer, ...event.transfer } }));
}
