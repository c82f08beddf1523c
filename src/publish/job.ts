import { oneLine } from "../output/describe.ts";
import { EXIT_STATUS, Failure, type FailureCode } from "../output/errors.ts";

const STATES = ["queued", "running", "pushing", "succeeded", "failed", "cancelled", "timed_out"] as const;
type State = (typeof STATES)[number];

/** The state of a build, as the server reports it. Sizes are bytes. */
export interface ServedJob {
  state: State;
  reason?: { code?: unknown; message?: unknown; expected?: unknown; hint?: unknown };
  /** Number of jobs that run before this one */
  position?: number;
  imageId?: string;
  digest?: string;
  size?: number;
  /** ms that each phase took */
  phases: Record<string, number>;
}

/** Reads the state of a build from a server's answer, which is hostile input; returns undefined for a value that is not a job. */
export function readJob(value: unknown): ServedJob | undefined {
  const job = (value ?? {}) as Record<string, unknown>;
  const state = STATES.find((known) => known === job["state"]);
  if (state === undefined) return undefined;
  const { reason, seconds, imageId, digest } = job;
  const [position, size] = [numberOf(job["position"]), numberOf(job["size"])];
  return {
    state,
    ...(typeof reason === "object" && reason !== null && { reason }),
    ...(position !== undefined && { position }),
    ...(typeof imageId === "string" && { imageId }),
    ...(typeof digest === "string" && { digest }),
    ...(size !== undefined && { size }),
    phases: Object.fromEntries(Object.entries(numbersOf(seconds)).map(([phase, s]) => [phase, Math.round(1000 * s)])),
  };
}

function numberOf(value: unknown): number | undefined {
  return typeof value === "number" && value >= 0 && Number.isFinite(value) ? value : undefined;
}

function numbersOf(value: unknown): Record<string, number> {
  if (typeof value !== "object" || value === null) return {};
  return Object.fromEntries(Object.entries(value).filter((entry) => numberOf(entry[1]) !== undefined));
}

export function isOver({ state }: ServedJob): boolean {
  return state !== "queued" && state !== "running" && state !== "pushing";
}

/** The code of a failure whose reason has no known code. */
const BY_STATE: Partial<Record<State, FailureCode>> = { timed_out: "build-failed", cancelled: "refused" };

const BY_STATE_TEXT: Partial<Record<State, string>> = {
  timed_out: "the build has taken longer than the server allows",
  cancelled: "the build was cancelled",
};

/** Maximum characters of a server's words that are shown */
const MAX_WORDS = 4000;

/** Returns the Failure of an unsuccessful build, in the words of the server, which are hostile input. */
export function failureOf({ state, reason = {} }: ServedJob): Failure {
  const { code } = reason;
  const known = typeof code === "string" && Object.hasOwn(EXIT_STATUS, code) ? (code as FailureCode) : BY_STATE[state];
  const [message, expected, hint] = [reason.message, reason.expected, reason.hint].map(wordsOf);
  return new Failure(
    known ?? "transfer-failed",
    message ?? BY_STATE_TEXT[state] ?? "the build has failed, and the server gives no reason",
    { ...(expected !== undefined && { expected }), ...(hint !== undefined && { hint }) },
  );
}

/** Makes words of the server safe. Keeps line ends, because a hint contains the last lines of a step. */
function wordsOf(words: unknown): string | undefined {
  if (typeof words !== "string") return undefined;
  return words.slice(0, MAX_WORDS).split("\n").map(oneLine).join("\n");
}
