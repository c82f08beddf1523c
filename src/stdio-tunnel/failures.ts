import { EXIT_STATUS, Failure, type FailureCode } from "../output/errors.ts";
import type { Message } from "./control.ts";

const LOST = {
  expected: "a connection that stays open until the receiver reports that the image is in its store",
  hint: "Check the link and the remote side, then run the same command again: there is nothing to undo.",
};

/** Returns the Failure for a transport that ended, or broke, before the last message. */
export function linkLost(cause?: Error): Failure {
  return new Failure("link-lost", "the connection to the remote side was lost", { ...LOST, cause });
}

/** Returns the Failure for a link without a byte for `silence` ms. */
export function linkSilent(silence: number): Failure {
  return new Failure("link-lost", `the remote side has sent nothing for ${silence / 1000} s: the link is dead`, LOST);
}

/** Returns the Failure for a tunnel in which nothing has moved for `ms`, although both sides are alive. */
export function noProgress(ms: number): Failure {
  return new Failure(
    "remote-no-answer",
    `the tunnel is open, but nothing has moved in it for ${Math.round(ms / 1000)} s: neither side makes progress`,
    {
      expected: "bytes of layers, or a progress message",
      hint: "Check whether an engine hangs on either side (docker info). For a slow engine, raise --timeout SECONDS.",
    },
  );
}

/** Creates a failure from the peer's message, which is hostile input: the code must be known, and the text is bounded. */
export function remoteFailure({ code, message, expected, hint }: Message): Failure {
  const words = (value: unknown): string | undefined => (typeof value === "string" ? value.slice(0, 4000) : undefined);
  const known =
    typeof code === "string" && Object.hasOwn(EXIT_STATUS, code) ? (code as FailureCode) : "transfer-failed";
  const [expectedWords, hintWords] = [words(expected), words(hint)];
  return new RemoteFailure(known, words(message) ?? "gave up without a reason", {
    ...(expectedWords === undefined ? {} : { expected: expectedWords }),
    ...(hintWords === undefined ? {} : { hint: hintWords }),
  });
}

/** A failure that the peer has reported. Its output names the remote side. */
export class RemoteFailure extends Failure {}
