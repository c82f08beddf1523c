import { describeExit, type Exit } from "../../child-process/exit.ts";
import { Failure, type FailureCode } from "../../output/errors.ts";
import type { HostConnection } from "../../request.ts";

const DIRECTLY = "or leave --relay out: then each host gets the images from here";

/** For a first host on which no docker-over-ssh can run; other failures of a login are returned as they are. */
export function noRelayOnHost({ given }: HostConnection, failure: unknown): unknown {
  if (!(failure instanceof Failure) || failure.code !== "remote-command-not-found") return failure;
  return new Failure(failure.code, `${given} cannot pass the images on: ${failure.message}`, {
    expected: "docker-over-ssh, or Node 20.19 or later, and an engine there that this user may use",
    hint: `Install Node there, or send it once with --far node-sent; ${DIRECTLY}.`,
    cause: failure,
  });
}

/** For a relay of another version. */
export function otherRelay({ given }: HostConnection): Failure {
  return new Failure("remote-other-protocol", `the docker-over-ssh on ${given} cannot pass images on`, {
    expected: "the same version on both sides",
    hint: `Update it there, or use another with --far node; ${DIRECTLY}.`,
  });
}

/** For a relay that has ended, or at least its output: then `exit` is undefined. */
export function relayEnded(connection: HostConnection, exit: Exit | undefined): Failure {
  return relayBroken(connection, exit === undefined ? "has closed its output, and has not ended" : describeExit(exit));
}

/** For a relay that writes what none writes. */
export function relayBroken({ given }: HostConnection, how = "wrote a line that none writes"): Failure {
  return new Failure("link-lost", `the relay on ${given} ${how}`, {
    expected: "it to pass the images on, and to tell what has become of them",
    hint: "Run the same command again: hosts that have the images are sent nothing.",
  });
}

/** For a relay of which nothing has come for `ms`. */
export function relaySilent({ given }: HostConnection, ms: number): Failure {
  return new Failure("link-lost", `the relay on ${given} has sent nothing for ${ms / 1000} s: the link is dead`, {
    expected: "a sign of life every few seconds",
    hint: "Check the link, then run the same command again: hosts that have the images are sent nothing.",
  });
}

/** For an image that the first host has not got. */
export function notPassedOn(image: string, { given }: HostConnection, code: FailureCode): Failure {
  return new Failure(code, `${image} was not passed on: ${given} does not have it`, {
    hint: `Mend what is told of ${given}, and run the same command again; ${DIRECTLY}.`,
  });
}

/** For a host of which the relay has not told what has become of it. */
export function notTold({ given }: HostConnection): Failure {
  return new Failure("transfer-failed", `${given} has not told whether the images have arrived`, {
    expected: "a result, or a failure",
    hint: "Run the same command again: a host that has the images is sent nothing.",
  });
}

/** What else is to be done where the relay could not log in: nobody answers its ssh there. */
export function relayedLoginHint(host: string, { given }: HostConnection): string {
  return `${given} logs in to ${host} by its own ssh, which nobody answers: it needs keys there, or your agent (ForwardAgent for ${given}, or --ssh "ssh -A"), and the host key in its known_hosts.`;
}
