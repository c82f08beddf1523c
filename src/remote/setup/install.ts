import { createHash } from "node:crypto";
import type { HostConnection } from "../../request.ts";
import type { Context } from "../../transfer.ts";
import { VERSION } from "../../version.ts";
import { readBuiltBundle, readFacts, readPackedBundle } from "../script/bundle.ts";
import { LineSequence } from "../script/line-sequence.ts";
import type { RemoteLine } from "../script/remote-lines.ts";
import { scriptWords } from "../script/remote-script.ts";
import { noNode, notInstalled, unknownLine } from "./setup-errors.ts";
import type { SetupLine } from "./setup-lines.ts";
import { setupLines, startSetup } from "./setup-link.ts";

/**
 * Installs this docker-over-ssh on a host permanently: the host's Node runs the installer (src/installer.ts), which receives the bundle.
 * Resolves when the installed command has run once. Even with --sudo, it is installed for the user who logs in, because ssh://HOST looks
 * for it there. If it throws a Failure, the host is unchanged.
 */
export async function install(connection: HostConnection, context: Context): Promise<void> {
  const { output } = context;
  const facts = readFacts();
  const { digest, size, installer } = readBuiltBundle();
  const factsDigest = createHash("sha256").update(facts).digest("hex");
  const words = scriptWords({
    ...connection,
    sudo: false,
    programs: ["node"],
    isInstalling: true,
    bundle: { digest, size, bootstrap: installer },
    words: [`${factsDigest}:${facts.length}`, VERSION],
  });
  const skipped: string[] = [];
  const sequence = new LineSequence(["node"]);
  await using link = startSetup({ ...connection, sudo: false }, words, context);
  for await (const line of setupLines(link, context)) {
    if (isOfScript(line) && !sequence.accepts(line)) throw unknownLine(link, line.kind);
    switch (line.kind) {
      case "pass":
        link.releaseLines("skipped");
        skipped.push(line.reason);
        output.detail({ code: "program-passed-over", program: line.program, reason: line.reason });
        break;
      case "try":
        output.detail({ code: "program-tried", program: "node", what: line.what });
        link.holdLines();
        break;
      case "send": {
        const packed = readPackedBundle();
        output.detail({ code: "bundle-sent", bytes: packed.length + facts.length });
        link.child.stdin.write(Buffer.concat([packed, facts]));
        break;
      }
      case "step":
        output.note({ code: "setup-step", step: line.step });
        break;
      case "not-installed":
        throw notInstalled(connection, line.problem, line.about);
      case "nothing":
        throw noNode(connection, skipped);
      case "done":
        output.note({ code: "installed", host: connection.given, isInPath: line.isInPath });
        break;
    }
  }
}

/** Returns whether the remote script writes such a line. The installer writes the others. */
function isOfScript(line: SetupLine): line is RemoteLine {
  return !["step", "not-installed", "ask", "freed", "no-engine", "done"].includes(line.kind);
}
