import { describeExit, type Exit } from "../child-process/exit.ts";
import { Failure } from "../output/errors.ts";

import type { RemoteCommand } from "./remote-command.ts";

/** What came on stdout in place of an answer, as it is shown. */
function printed(noise: string): string {
  const text = noise.trim();
  return text === "" ? "" : `. It printed:\n${text}`;
}

/** The link ended, or broke, after an engine had answered. */
export function engineLost({ words }: RemoteCommand, exit: Exit | undefined): Failure {
  return new Failure("link-lost", `the connection to the remote engine was lost: \`${words}\` ${describeExit(exit)}`, {
    expected: "it to stay open until the image is in its place",
    hint: "Check the link and the remote side, then run the same command again: there is nothing to undo.",
  });
}

/** The far command ended before an engine, or anything else, had answered. */
export function noEngine(link: RemoteCommand, exit: Exit | undefined, noise: string): Failure {
  const { words } = link;
  const hint = hintFrom(link.lastWords());
  if (hint === undefined && (exit?.status === 127 || exit?.status === 126)) {
    return new Failure(
      "remote-command-not-found",
      `\`${words}\` ${describeExit(exit)}: there is no such command${printed(noise)}`,
      {
        expected:
          "docker (18.09 or later) or podman on the other side, in the PATH of a shell that is not a login shell",
        hint: "Install it there, or name its full path in the command.",
      },
    );
  }
  return new Failure(
    "engine-unreachable",
    `\`${words}\` ${describeExit(exit)} before an engine answered${printed(noise)}`,
    {
      expected: "a login that asks for nothing, and an engine that runs and that this user may speak to",
      hint: hint ?? `Try \`${link.byHand}\`: it must log in without a question.`,
    },
  );
}

/** docker-over-ssh was begun over there, and has not come so far as to speak. */
export function noTunnel(link: RemoteCommand, failure: unknown): unknown {
  const hint = hintFrom(link.lastWords());
  if (!(failure instanceof Failure) || failure.code !== "remote-not-a-tunnel" || hint === undefined) return failure;
  return new Failure(failure.code, failure.message, { expected: failure.expected ?? "", hint, cause: failure });
}

/** What its last words on stderr mean, where that is known. They have been shown as they came. */
function hintFrom(words: string): string | undefined {
  if (/permission denied.*(?:docker|podman).*sock|connect: permission denied/i.test(words)) {
    return "Add the user to the group docker there, or run it with sudo (--sudo with ssh://HOST).";
  }
  if (/Cannot connect to the Docker daemon|unable to connect to Podman|raw stream connection/i.test(words)) {
    return "Start the engine over there.";
  }
  if (/^sudo: /m.test(words)) {
    return "Let sudo run it without a password there (NOPASSWD in sudoers), or use a user who needs no sudo.";
  }
  return undefined;
}

/** ssh has logged in, and there is nothing that could be the other side. */
export function noneInstalled(location: string, path: string): Failure {
  return new Failure(
    "remote-command-not-found",
    `neither docker-over-ssh nor docker nor podman was found on ${location}`,
    {
      expected: `one of them in the PATH of a shell that is not a login shell, which is ${path} there`,
      hint: "Install docker there, or name the full path: ssh HOST /PATH/TO/docker system dial-stdio",
    },
  );
}
