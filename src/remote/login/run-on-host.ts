import { describeExit, type Exit } from "../../child-process/exit.ts";
import { Failure, type FailureText } from "../../output/errors.ts";
import { shownCommand } from "../../output/secrets.ts";
import type { HostConnection, SharedRequest } from "../../request.ts";
import { onLines } from "../../streams/lines.ts";
import { abortable } from "../../streams/abortable.ts";
import type { Context } from "../../transfer.ts";
import { hostName, loginByHand, loginCommand } from "./login.ts";
import { MARKER } from "../script/remote-lines.ts";
import { runRemoteCommand, type RemoteCommand } from "./remote-command.ts";

/** Evaluates the script on stdin, which has `$1` bytes. The words of the login are short, and pass through any login shell. */
const EVALUATE_STDIN = `eval "$(dd bs=1 count=$1 2>/dev/null)"`;

/** The script's first line, after which the login asks no more questions. */
const BEGUN = `${MARKER} begun`;

/**
 * Returns a script that runs a command in the user's login shell, as ssh does, without input. When stdin ends, because the initiator has stopped or
 * disconnected, the script ends the command and, if setsid exists, the programs that it has started.
 */
function scriptFor(command: string): string {
  return `
echo "${BEGUN}"
x='${command.replaceAll("'", `'\\''`)}'
if command -v setsid >/dev/null 2>&1; then g=setsid; k=-; else g=; k=; fi
exec 3<&0
$g "\${SHELL:-/bin/sh}" -c "$x" </dev/null 3<&- &
p=$!
{ while read -r x; do :; done; kill -TERM $k$p; } <&3 >/dev/null 2>&1 &
w=$!
wait $p
e=$?
kill $w 2>/dev/null
exit $e
`;
}

/** The command has failed. As with ssh, its exit status becomes that of this process. */
class RunFailed extends Failure {
  readonly #status: number | undefined;

  constructor(message: string, status: number | undefined, text: FailureText) {
    super("run-failed", message, text);
    this.#status = status;
  }

  override get exitStatus(): number {
    return this.#status ?? super.exitStatus;
  }
}

/**
 * Runs a command on a host or in a container through a login of its own. This works for any remote side, also a container or an engine
 * alone. The output is passed on line by line.
 *
 * @throws RunFailed if the command ends with a status other than 0, or cannot be run
 */
export async function runOnHost(
  command: string,
  connection: HostConnection,
  request: Pick<SharedRequest, "bwlimit">,
  context: Context,
): Promise<void> {
  const { output, signal } = context;
  const shown = shownCommand([command]);
  output.note({ code: "running-there", host: hostName(connection), command: shown });
  const script = scriptFor(command);
  const words = ["/bin/sh", "-c", EVALUATE_STDIN, "sh", String(Buffer.byteLength(script))];
  const commandOptions = {
    words: connection.given,
    byHand: loginByHand(connection),
    shown: `${connection.given} ${shown}`,
  };
  const leave = await abortable(Promise.resolve(context.login?.()), signal);
  using _ = { [Symbol.dispose]: () => leave?.() }; // also after a failed login, because a watch continues
  await using link = runRemoteCommand(loginCommand(connection, words), commandOptions, request, context);
  const { stdin, stdout } = link.child;
  const lines = new Promise((resolve) => stdout.once("close", resolve).once("end", resolve));
  onLines(stdout, (line) => {
    if (line.endsWith(BEGUN)) {
      link.answered();
      leave?.();
    } else output.event({ type: "remote", line });
  });
  stdin.write(script);
  const exit = await abortable(exitOf(link), signal);
  await abortable(lines, signal);
  if (exit.status !== 0) throw runFailed(shown, connection, exit);
}

/** Waits for the command without a time limit. */
async function exitOf({ child }: RemoteCommand): Promise<Exit> {
  for (;;) {
    const exit = await child.exit();
    if (exit !== undefined) return exit;
  }
}

function runFailed(command: string, connection: HostConnection, exit: Exit): RunFailed {
  return new RunFailed(`\`${command}\` on ${hostName(connection)} ${describeExit(exit)}`, exit.status, {
    expected: "the command of --run to succeed; the images have arrived under their names",
    hint: "Read its output above. Nothing needs to be sent again: the next run finds all layers on the host.",
  });
}
