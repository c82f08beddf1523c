import { Failure, type FailureText } from "../output/errors.ts";
import { noRoomText, type NoRoomReason } from "../output/reasons.ts";

/** A `no-space` failure of the cache folder, with a machine-readable reason. */
export class NoSpaceFailure extends Failure {
  readonly reason: NoRoomReason;

  constructor(reason: NoRoomReason, text: FailureText) {
    super("no-space", noRoomText(reason), text);
    this.reason = reason;
  }
}
