import { describeExit, type Exit } from "../../child-process/exit.ts";
import { Failure, type FailureCode } from "../../output/errors.ts";
import type { HostConnection } from "../../request.ts";

const DIRECTLY = "or omit --relay: this side then sends the images to each host";

/** Returns the Failure for a first host on which docker-over-ssh cannot run; returns other failures of a login unchanged. */
export function noRelayOnHost({ given }: HostConnection, failure: unknown): unknown {
  if (!(failure instanceof Failure) || failure.code !== "remote-command-not-found") return failure;
  return new Failure(failure.code, `${given} cannot pass the images on: ${failure.message}`, {
    expected: "docker-over-ssh, or Node 20.19 or later, and an engine there that this user may use",
    hint: `Install Node there, or send it once with --far node-sent; ${DIRECTLY}.`,
    cause: failure,
  });
}

/** Returns the Failure for a relay of another version. */
export function otherRelay({ given }: HostConnection): Failure {
  return new Failure("remote-other-protocol", `the docker-over-ssh on ${given} cannot pass images on`, {
    expected: "the same version on both sides",
    hint: `Update it there, or use another with --far node; ${DIRECTLY}.`,
  });
}

/** Returns the Failure for a relay that has ended, or only closed its output, in which case `exit` is undefined. */
export function relayEnded(connection: HostConnection, exit: Exit | undefined): Failure {
  return relayBroken(connection, exit === undefined ? "has closed its output, but has not ended" : describeExit(exit));
}

/** Returns the Failure for a relay that violates the protocol. */
export function relayBroken({ given }: HostConnection, how = "wrote an invalid line"): Failure {
  return new Failure("link-lost", `the relay on ${given} ${how}`, {
    expected: "a relay that passes the images on and reports the outcomes",
    hint: "Run the same command again: it sends nothing to hosts that have the images.",
  });
}

/** Returns the Failure for a relay that has sent nothing for `ms`. */
export function relaySilent({ given }: HostConnection, ms: number): Failure {
  return new Failure("link-lost", `the relay on ${given} has sent nothing for ${ms / 1000} s: the link is dead`, {
    expected: "a sign of life every few seconds",
    hint: "Check the link, then run the same command again: it sends nothing to hosts that have the images.",
  });
}

/** Returns the Failure for an image that the first host does not have. */
export function notPassedOn(image: string, { given }: HostConnection, code: FailureCode): Failure {
  return new Failure(code, `${image} was not passed on: ${given} does not have it`, {
    hint: `Fix the failure of ${given}, and run the same command again; ${DIRECTLY}.`,
  });
}

/** Returns the Failure for a host whose outcome the relay has not reported. */
export function notReported({ given }: HostConnection): Failure {
  return new Failure("transfer-failed", `${given} has not reported whether the images have arrived`, {
    expected: "a result, or a failure",
    hint: "Run the same command again: it sends nothing to a host that has the images.",
  });
}

/** Returns a further hint if the relay could not log in, because nobody can answer the questions of its ssh. */
export function relayedLoginHint(host: string, { given }: HostConnection): string {
  return `${given} logs in to ${host} with its own ssh, whose questions nobody can answer: it needs keys on ${given}, or your agent (ForwardAgent for ${given}, or --ssh "ssh -A"), and the host key in its known_hosts.`;
}
