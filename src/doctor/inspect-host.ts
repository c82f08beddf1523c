import type { Exit } from "../child-process/exit.ts";
import { loginByHand, loginCommand } from "../remote/login/login.ts";
import { engineUnreachable } from "../remote/login/remote-errors.ts";
import { findMarker, MAX_NOISE, parseRemoteLine, type RemoteLine } from "../remote/script/remote-lines.ts";
import { runRemoteCommand, withinAnswerTimeout, type RemoteCommand } from "../remote/login/remote-command.ts";
import { scriptWords } from "../remote/script/remote-script.ts";
import { shownCommand } from "../output/secrets.ts";
import type { RemoteProgram } from "../output/remote-programs.ts";
import type { HostConnection } from "../request.ts";
import { readUntil } from "../streams/read-until.ts";
import type { Context } from "../transfer.ts";
import { inspectionBlocks, inspectionBootstrap } from "./check-script.ts";

/** Maximum number of lines of the script. A kind of fact can occur several times: the script looks for Node in about ten folders. */
const MAX_LINES = 200;

/** The facts that the remote script reports about a host. */
export interface HostFacts {
  /** The facts by their kind, in the order of arrival. */
  facts: ReadonlyMap<string, readonly string[]>;
  /** Output of the login before the script. */
  noise: string;
  /** The programs that cannot be used, with the reasons. */
  skipped: { program: string; reason: string }[];
  /** The program that a transfer would use. */
  chosen?: { program: RemoteProgram; what: string; apiVersion?: string | undefined };
  /** The program that was tried and ended the script: a transfer would fail. */
  ended?: { program: RemoteProgram; what: string; exit: Exit | undefined; lastLines: string };
}

/**
 * Logs in as a transfer does, lets the remote script look for a program in the same order, and ends it as soon as a program would start. Throws
 * the Failure of a login that does not reach the script.
 */
export async function inspectHost(connection: HostConnection, context: Context): Promise<HostFacts> {
  const programs = connection.programs.filter((program) => program !== "node-sent");
  const words = scriptWords({
    ...connection,
    programs: ["node-sent", ...programs], // the script requests its blocks first: these are the ones that inspect
    bundle: { digest: "0", size: 0, bootstrap: inspectionBootstrap() },
    words: ["--version"],
  });
  const commandOptions = {
    words: connection.given,
    byHand: loginByHand(connection),
    shown: shownCommand([...loginCommand(connection, []), "(the remote script)"]),
    sudo: connection.sudo ? {} : undefined,
  };
  await using link = runRemoteCommand(loginCommand(connection, words), commandOptions, {}, context);
  return await readFacts(link, context);
}

async function readFacts(link: RemoteCommand, context: Context): Promise<HostFacts> {
  const found = new HostInspection();
  for (let lines = 0; lines < MAX_LINES; lines++) {
    const { words, before } = await nextLine(link, context);
    if (words === undefined) return found.atEnd(link, await link.child.exit(), before);
    link.answered();
    if (lines === 0) found.noise = before.trim().slice(0, 4096);
    if (words.startsWith("fact ")) found.note(words.slice("fact ".length));
    else if (await found.isLast(parseRemoteLine(words), link)) return found;
  }
  return found;
}

async function nextLine(
  link: RemoteCommand,
  { signal }: Context,
): Promise<{ words: string | undefined; before: string }> {
  const either = AbortSignal.any([signal, link.signal]);
  const { found, before } = await withinAnswerTimeout(
    link,
    { hint: `Run \`${link.byHand}\` to see what the login waits for.` },
    either,
    async (stop) => await readUntil(link.child.stdout, findMarker, { max: MAX_NOISE, signal: stop }),
  );
  return { words: found?.words, before };
}

/** The facts that have arrived so far. */
class HostInspection implements HostFacts {
  readonly facts = new Map<string, string[]>();
  noise = "";
  readonly skipped: HostFacts["skipped"] = [];
  chosen?: NonNullable<HostFacts["chosen"]>;
  ended?: NonNullable<HostFacts["ended"]>;
  #hasBegun = false;
  #tried: { program: RemoteProgram; what: string } | undefined;

  note(words: string): void {
    const [kind = "", ...rest] = words.split(" ");
    this.#hasBegun = true;
    this.facts.set(kind, [...(this.facts.get(kind) ?? []), rest.join(" ").trim()]);
  }

  /** Answers a line. Returns whether the program that a transfer would use is known. */
  async isLast(line: RemoteLine | undefined, link: RemoteCommand): Promise<boolean> {
    switch (line?.kind) {
      case "more":
        link.child.stdin.write(inspectionBlocks(line.program));
        return false;
      case "pass":
        link.releaseLines("skipped");
        this.skipped.push({ program: line.program, reason: line.reason });
        return false;
      case "try":
        link.holdLines();
        this.#tried = { program: line.program, what: line.what };
        return false;
      case "engine":
        this.chosen = { program: "engine", what: `${line.program} system dial-stdio`, apiVersion: line.apiVersion };
        return true;
      default: // run: a Node can be used; nothing: no program can; the script sends no other line at this point
        if (line?.kind === "run" && this.#tried !== undefined) this.chosen = this.#tried;
        return true;
    }
  }

  /** Handles the end of the script: an installed docker-over-ssh has printed its version for `--version`, or the program has failed. */
  atEnd(link: RemoteCommand, exit: Exit | undefined, before: string): HostFacts {
    if (!this.#hasBegun) throw engineUnreachable(link, exit, before);
    if (this.#tried === undefined) return this;
    if (exit?.status === 0) this.chosen = this.#tried;
    else this.ended = { ...this.#tried, exit, lastLines: link.lastLines() };
    return this;
  }
}
