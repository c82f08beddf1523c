import { describeExit, isNotFound, withOutput, type Exit } from "../../child-process/exit.ts";
import { Failure } from "../../output/errors.ts";
import type { HostConnection } from "../../request.ts";
import { NO_ACCESS } from "../script/remote-lines.ts";
import type { RemoteCommand } from "./remote-command.ts";

/** Returns the Failure for a connection that ends or breaks after an engine has answered. */
export function engineLost({ words }: RemoteCommand, exit: Exit | undefined): Failure {
  return new Failure("link-lost", `the connection to the remote engine was lost: \`${words}\` ${describeExit(exit)}`, {
    expected: "a connection that stays open until the transfer is done",
    hint: "Check the link and the remote side, then run the same command again: there is nothing to undo.",
  });
}

/** Returns the Failure for a remote command that ends before an engine, or anything else, has answered. */
export function engineUnreachable(link: RemoteCommand, exit: Exit | undefined, noise: string): Failure {
  const { words } = link;
  const hint = hintFrom(link.lastLines());
  if (hint === undefined && isNotFound(exit)) {
    return new Failure(
      "remote-command-not-found",
      `\`${words}\` ${describeExit(exit)}: command not found${withOutput(noise)}`,
      {
        expected: "docker (18.09 or later) or podman on the remote side, in the PATH of a non-login shell",
        hint: "Install it there, or name its full path in the command.",
      },
    );
  }
  return new Failure(
    "engine-unreachable",
    `\`${words}\` ${describeExit(exit)} before an engine answered${withOutput(noise)}`,
    {
      expected: "a login that succeeds, and a running engine that this user may use",
      hint: hint ?? `Try \`${link.byHand}\`: it must succeed; without a terminal, it must ask no question.`,
    },
  );
}

/** Returns a hint for a silent login of a transfer. It may run `docker system dial-stdio`, which waits for a request, instead of the script. */
export function silentLoginHint({ byHand }: RemoteCommand): string {
  const dial = byHand.replace(/docker version$/, "docker system dial-stdio");
  return `Run \`${byHand}\` to see what the login waits for, or give it more time with --timeout SECONDS. For a login that always runs \`docker system dial-stdio\` (ForceCommand), write ${dial} in place of the host.`;
}

/** Adds a hint to the failure of a docker-over-ssh that ended before its tunnel opened, if its stderr says why. */
export function explainTunnelFailure(link: RemoteCommand, failure: unknown): unknown {
  const hint = hintFrom(link.lastLines());
  if (!(failure instanceof Failure) || failure.code !== "remote-not-a-tunnel" || hint === undefined) return failure;
  return new Failure(failure.code, failure.message, { expected: failure.expected ?? "", hint, cause: failure });
}

/** Returns a hint for known errors in the last lines of stderr, which the user has seen. */
function hintFrom(lines: string): string | undefined {
  if (/permission denied.*(?:docker|podman).*sock|connect: permission denied/i.test(lines)) {
    return "Add the user to the group docker there, or run it with sudo (--sudo with ssh://HOST).";
  }
  if (/Cannot connect to the Docker daemon|unable to connect to Podman|raw stream connection/i.test(lines)) {
    return "Start the engine there.";
  }
  if (/^sudo: .*incorrect password/m.test(lines)) {
    return "Run the same command again, with the password that sudo asks for there.";
  }
  if (/sudo: (?:command )?not found/.test(lines)) {
    return "Install sudo there, or omit --sudo.";
  }
  if (/^sudo: /m.test(lines)) {
    return "Let sudo run it without a password there (NOPASSWD in sudoers), or use a user who needs no sudo.";
  }
  return undefined;
}

/** Returns the Failure for a host where no program can run the remote side. `skipped`: each program with the reason. */
export function noUsableProgram(
  { given, programs }: HostConnection,
  skipped: readonly string[],
  path: string,
): Failure {
  const isInstalled = skipped.some((reason) => /^installed: (?!not found$)/.test(reason));
  if (programs.includes("engine")) {
    return new Failure(
      "remote-command-not-found",
      isInstalled
        ? `no program on ${given} can run the remote side: ${skipped.join("; ")}`
        : `neither ${programs.includes("installed") ? "docker-over-ssh nor " : ""}docker nor podman is installed on ${given}`,
      {
        expected: `one of ${isInstalled ? "docker and podman" : "them"} in the PATH of a non-login shell there, which is ${path}`,
        hint: "Install docker there, or name its folder with --far-path.",
      },
    );
  }
  return new Failure(
    "remote-command-not-found",
    `no program on ${given} can run the remote side: ${skipped.join("; ")}`,
    {
      expected: `one of the programs of --far: ${programs.join(", ")}`,
      hint: skipped.some((reason) => reason.includes(NO_ACCESS))
        ? "Add the user to the group docker there, or use --sudo."
        : "Omit --far, and unset DOCKER_OVER_SSH_FAR, to use any program that works there; or name a folder with --far-path.",
    },
  );
}
