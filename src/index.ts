/** The library: moves images like the command. See examples/library. */
export {
  pull,
  push,
  type PullOptions,
  type PushOptions,
  type RemoteSide,
  type TransferControls,
  type TransferOptions,
} from "./library.ts";
export type { ContentQuery, Detail, Leftover, NotCutReason, RebuildFailure, WholeReason } from "./output/details.ts";
export type {
  Note,
  Plan,
  PlannedBytes,
  PlannedLayer,
  Progress,
  ProgressOfLayer,
  Stage,
  Started,
  TransferEvent,
  TransferName,
  TransferResult,
  Warning,
} from "./output/events.ts";
export type { LeftReason, SetupStep, SetupThing } from "./output/setup-steps.ts";
export { EXIT_STATUS, Failure, type ErrorReport, type FailureCode } from "./output/errors.ts";
export type { NoRoomReason, PushFailure } from "./output/reasons.ts";
export { RemoteFailure } from "./stdio-tunnel/failures.ts";
