/**
 * What can go wrong, as a stable code and the exit status that goes with it.
 * The table in docs/exit-status.md says the same to people; a test holds the two together.
 */
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
  internal: 70,
} as const;

export type FailureCode = keyof typeof EXIT_STATUS;

export interface FailureText {
  /** What was expected instead, one sentence. */
  expected?: string;
  /** What to do next, one sentence or a few lines. */
  hint?: string;
  cause?: unknown;
}

/**
 * An error for a person: what failed (the message, naming the image, command or host concerned),
 * what was expected, and what to do. Anything else that reaches the top is a bug of ours.
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

/** The words of anything thrown, on one line. */
export function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message || error.name : String(error)).replaceAll(/\s*\n\s*/g, " ").trim();
}
