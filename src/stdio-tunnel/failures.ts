import { EXIT_STATUS, Failure, type FailureCode } from "../output/errors.ts";
import type { Message } from "./control.ts";

const LOST = {
  expected: "it to stay open until the receiver has said that the image is in its store",
  hint: "Check the link and the remote side, then run the same command again: nothing has to be undone first.",
};

/** The stream ended, or broke, before the last word. */
export function lost(cause?: Error): Failure {
  return new Failure("link-lost", "the connection to the remote side was lost", { ...LOST, cause });
}

/** Nothing came for `silence` ms. */
export function silent(silence: number): Failure {
  return new Failure(
    "link-lost",
    `nothing has come from the remote side for ${silence / 1000} s: the link is dead`,
    LOST,
  );
}

/** Both ends are alive, and nothing has moved for so many ms. */
export function stuck(ms: number): Failure {
  return new Failure(
    "remote-no-answer",
    `the tunnel is open, but nothing has moved in it for ${Math.round(ms / 1000)} s: neither end gets on`,
    {
      expected: "bytes of layers, or a word of what is being done",
      hint: "See whether an engine hangs on either side (docker info); slow ones can be given more time with --timeout SECONDS.",
    },
  );
}

/** The far end's words, which are hostile input: a known code, bounded text. */
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

/** What the far end said when it gave up. Who reads it is told whose words they are. */
export class RemoteFailure extends Failure {}
