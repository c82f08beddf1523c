import { shownCommand } from "../../output/secrets.ts";
import type { HostConnection } from "../../request.ts";
import { readUntil } from "../../streams/read-until.ts";
import type { Context } from "../../transfer.ts";
import { loginByHand, loginCommand } from "../login/login.ts";
import { findMarker } from "../script/remote-lines.ts";
import { runRemoteCommand, withinAnswerTimeout, type RemoteCommand } from "../login/remote-command.ts";
import { LOGIN, setupEnded, unknownLine } from "./setup-errors.ts";
import { parseSetupLine, type SetupLine } from "./setup-lines.ts";

/** Maximum bytes that a login shell may print before it runs the script. */
const MAX_NOISE = 64 * 1024;
/** Maximum lines of one run: an engine may hold many leftovers. */
const MAX_LINES = 10_000;

/** Logs in and runs these words. */
export function startSetup(connection: HostConnection, words: readonly string[], context: Context): RemoteCommand {
  const shown = shownCommand([...loginCommand(connection, []), "(the setup script)"]);
  const commandOptions = {
    words: connection.given,
    byHand: loginByHand(connection),
    shown,
    sudo: connection.sudo ? {} : undefined,
  };
  return runRemoteCommand(loginCommand(connection, words), commandOptions, {}, context);
}

/** Yields the lines up to the line `done`. Throws a Failure if the connection ends before it. */
export async function* setupLines(link: RemoteCommand, { output, signal }: Context): AsyncGenerator<SetupLine> {
  for (let lines = 0; lines < MAX_LINES; lines++) {
    const { found, before } = await withinAnswerTimeout(
      link,
      { expected: LOGIN, hint: `Run \`${link.byHand}\` to see what the login waits for.` },
      AbortSignal.any([signal, link.signal]),
      async (stop) => await readUntil(link.child.stdout, findMarker, { max: MAX_NOISE, signal: stop }),
    );
    if (found === undefined) throw setupEnded(link, await link.child.exit(), before);
    link.answered();
    const noise = before.trim().slice(0, 4096);
    if (noise !== "") output.detail({ code: "noise", printedBy: "login-shell", text: noise });
    const line = parseSetupLine(found.words);
    if (line === undefined) throw unknownLine(link, found.words);
    yield line;
    if (line.kind === "done") return;
  }
  throw setupEnded(link, undefined, "");
}
