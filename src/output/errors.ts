/** The codes of failures, which are stable, and their exit statuses. A test compares them with docs/exit-status.md. */
export const EXIT_STATUS = {
  "transfer-failed": 1,
  usage: 2,
  "image-not-found": 3,
  "engine-unreachable": 4,
  "remote-command-not-found": 5,
  "remote-no-answer": 6,
  "remote-not-a-tunnel": 7,
  "remote-other-protocol": 8,
  "link-lost": 9,
  "registry-unavailable": 10,
  "no-space": 11,
  "not-verified": 12,
  refused: 13,
  "run-failed": 14,
  "build-failed": 15,
  "context-invalid": 16,
  "not-buildable": 17,
  "push-refused": 18,
  "server-unreachable": 19,
  internal: 70,
} as const;

export type FailureCode = keyof typeof EXIT_STATUS;

export interface FailureText {
  /** The expectation that was not met, one sentence. */
  expected?: string;
  /** The next step for the user, one sentence or a few lines. */
  hint?: string;
  cause?: unknown;
}

/**
 * An error in words for people: what failed (the message, which names the image, command or host), what was expected, and what to do. Any
 * other error that reaches the top level is a bug in this program.
 */
export class Failure extends Error {
  override readonly name = "Failure";
  readonly code: FailureCode;
  readonly expected: string | undefined;
  readonly hint: string | undefined;

  constructor(code: FailureCode, message: string, text: FailureText = {}) {
    super(message, text.cause === undefined ? undefined : { cause: text.cause });
    this.code = code;
    this.expected = text.expected;
    this.hint = text.hint;
  }

  get exitStatus(): number {
    return EXIT_STATUS[this.code];
  }
}

/** A failure: what failed, what was expected, and what to do. */
export interface ErrorReport {
  code: FailureCode;
  /** Exit status of a command that runs only this transfer */
  exitStatus: number;
  /** The side that failed. That side chose the words. */
  side: "here" | "remote";
  message: string;
  expected?: string;
  hint?: string;
}

/** Returns the event for a failure of this side, or for one that the remote side reported. */
export function errorReport(
  { code, exitStatus, message, expected, hint }: Failure,
  side: ErrorReport["side"],
): ErrorReport {
  return { code, exitStatus, side, message, ...(expected && { expected }), ...(hint && { hint }) };
}

/** Returns the message of any thrown value, on one line. */
export function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message || error.name : String(error)).replaceAll(/\s*\n\s*/g, " ").trim();
}
