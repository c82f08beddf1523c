import { EXIT_STATUS, type Failure, type FailureCode } from "../output/errors.ts";
import { remoteFailure } from "../stdio-tunnel/failures.ts";

const STATES = ["queued", "running", "pushing", "succeeded", "failed", "cancelled", "timed_out"] as const;
type State = (typeof STATES)[number];

/** What a server tells of a build. Sizes are bytes. */
export interface ServedJob {
  state: State;
  reason?: { code?: unknown; message?: unknown; expected?: unknown; hint?: unknown };
  /** Jobs that run before it */
  position?: number;
  imageId?: string;
  digest?: string;
  size?: number;
  /** ms that each phase took */
  phases: Record<string, number>;
}

/** Reads what a server tells of a build, which may be anything; undefined for what is no job. */
export function readJob(value: unknown): ServedJob | undefined {
  const job = (value ?? {}) as Record<string, unknown>;
  const state = STATES.find((one) => one === job["state"]);
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

/** The code where the server's reason has one of its own. */
const BY_STATE: Partial<Record<State, FailureCode>> = { timed_out: "build-failed", cancelled: "refused" };

const BY_STATE_TEXT: Partial<Record<State, string>> = {
  timed_out: "the build has taken longer than the server allows",
  cancelled: "the build was cancelled",
};

/** Returns the Failure of a build that has ended without success, in the words of the server. */
export function failureOf({ state, reason = {} }: ServedJob): Failure {
  const { code, message } = reason;
  const isKnown = typeof code === "string" && Object.hasOwn(EXIT_STATUS, code);
  return remoteFailure({
    type: "error",
    ...reason,
    code: isKnown ? code : (BY_STATE[state] ?? "transfer-failed"),
    message: typeof message === "string" ? message : (BY_STATE_TEXT[state] ?? "the build has failed without a reason"),
  });
}
