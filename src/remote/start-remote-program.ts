import { setTimeout as delay } from "node:timers/promises";
import type { Platform } from "../image/platform.ts";
import { Failure } from "../output/errors.ts";
import type { Output } from "../output/output.ts";
import type { HostConnection, TransferRequest } from "../request.ts";
import { MAGIC_LINE } from "../stdio-tunnel/constants.ts";
import { readUntil } from "../streams/read-until.ts";
import { readPackedBundle } from "./script/bundle.ts";
import { answerOtherProtocol, readHello } from "./installed-hello.ts";
import { LineSequence } from "./script/line-sequence.ts";
import { hasReachedShell } from "./login/login.ts";
import { withinAnswerTimeout, type RemoteCommand } from "./login/remote-command.ts";
import { engineUnreachable, noUsableProgram, silentLoginHint } from "./login/remote-errors.ts";
import { findMarker, MAX_NOISE, parseRemoteLine, type RemoteLine } from "./script/remote-lines.ts";
import { furtherBlocks } from "./script/remote-script.ts";
import type { SentNode } from "./node/sent-node.ts";
import type { TunnelProgram } from "../output/remote-programs.ts";

/** Maximum characters of an unexpected line that are shown. */
const MAX_SHOWN = 200;

/** ms by which the last output of a program on stderr may arrive after the line on stdout that reports its end, because ssh sends two streams. */
const STDERR_LAG = 50;

/** Maximum lines of the script, which tries each program in a few folders. */
const MAX_LINES = 100;

/** ms for the remote engine to pull an image. */
const PULL_TIMEOUT = 10 * 60_000;

/** The program that the remote side has started. */
export type StartedProgram =
  /** docker-over-ssh, whose tunnel follows. */
  | { kind: "tunnel"; program: TunnelProgram }
  /** The next bytes are the engine's. With docker, the API version is present if the engine answered. */
  | { kind: "engine"; program: "docker" | "podman"; apiVersion?: string | undefined }
  /** The login ended before the script wrote a line, because the host has no shell that understands the script, or allows none. */
  | { kind: "no-script"; status: number; failure: Failure };

/** The fields of a request that the dialog with the script uses. */
export type DialogRequest = Pick<TransferRequest, "role" | "timeout">;

export interface StartRemoteOptions {
  output: Output;
  signal: AbortSignal;
  /** Sends the image for a container to the remote engine. Returns whether the engine has the image afterwards. */
  sendImage: (platform: Platform) => Promise<boolean>;
  /** The user may also give a command in place of the host. */
  acceptsCommand?: boolean;
  /** Sends a Node. */
  sentNode: Pick<SentNode, "answer" | "send" | "skipped">;
}

/**
 * Answers the remote script until a program runs as the remote side. The next byte of the stream is then the first byte of the tunnel or of
 * the engine. Throws a Failure if no program can be used.
 */
export async function startRemoteProgram(
  link: RemoteCommand,
  connection: HostConnection,
  request: DialogRequest,
  options: StartRemoteOptions,
): Promise<StartedProgram> {
  const dialog = new ScriptDialog(link, connection, request, options);
  const sequence = new LineSequence(connection.programs);
  for (let lines = 0; lines < MAX_LINES; lines++) {
    const next = await nextLine(link, dialog.timeout, options, lines === 0);
    if (next.kind === "no-script") {
      const mayHelp = !connection.sudo && connection.programs.includes("engine");
      if (!mayHelp || isCommandMissing(link) || !hasReachedShell(connection, next.status)) throw next.failure;
      return next;
    }
    link.answered();
    if (next.kind === "hello") return dialog.tunnel();
    const { line, words } = next;
    if (line === undefined || !sequence.accepts(line)) throw unknownLine(link, words);
    const started = await dialog.answer(line);
    if (started !== undefined) return started;
  }
  throw noUsableProgram(connection, dialog.skipped, "");
}

/** Answers the lines of the script, and holds the state of this dialog. */
class ScriptDialog {
  /** The programs that were skipped, with the reasons. */
  readonly skipped: string[] = [];
  /** ms for the next line */
  timeout: number | undefined;
  readonly #link: RemoteCommand;
  readonly #connection: HostConnection;
  readonly #request: DialogRequest;
  readonly #options: StartRemoteOptions;
  #program: TunnelProgram = "installed";
  #tried: TunnelProgram | undefined;

  constructor(link: RemoteCommand, connection: HostConnection, request: DialogRequest, options: StartRemoteOptions) {
    this.#link = link;
    this.#connection = connection;
    this.#request = request;
    this.#options = options;
    this.timeout = request.timeout;
  }

  /** Answers a line. Returns the program once it has started. */
  async answer(line: RemoteLine): Promise<StartedProgram | undefined> {
    this.timeout = line.kind === "pull" ? PULL_TIMEOUT : this.#request.timeout;
    switch (line.kind) {
      case "pass":
        return await this.#pass(line.program, line.reason);
      case "try":
        return await this.#try(line.program, line.what);
      case "send":
        return this.#sendBundle();
      case "run":
        return this.tunnel();
      case "pull":
        this.#options.output.note({ code: "image-pulled", image: line.image });
        return undefined;
      case "image":
        return this.#write((await this.#hasImage(line.platform)) ? "sent" : "no");
      case "more":
        this.#link.child.stdin.write(furtherBlocks(line.program));
        return undefined;
      case "system":
        return this.#write(await this.#options.sentNode.answer(line.system));
      case "send-node":
        await this.#options.sentNode.send(this.#link);
        return undefined;
      case "engine":
        this.#link.releaseLines("remote");
        return line;
      case "nothing":
        throw noUsableProgram(this.#connection, this.skipped, line.path);
    }
  }

  tunnel(): StartedProgram {
    this.#link.releaseLines("remote");
    return { kind: "tunnel", program: this.#program };
  }

  async #pass(program: string, reason: string): Promise<undefined> {
    if (program === this.#tried) await delay(STDERR_LAG, undefined, { signal: this.#options.signal });
    this.#link.releaseLines("skipped");
    this.skipped.push(`${program}: ${reason}`);
    this.#options.output.detail({ code: "program-passed-over", program, reason });
    if (program === "node-sent") this.#options.sentNode.skipped(reason);
  }

  async #try(program: TunnelProgram, what: string): Promise<StartedProgram | undefined> {
    this.#program = this.#tried = program;
    this.#options.output.detail({ code: "program-tried", program, what });
    this.#link.holdLines();
    if (program !== "installed") return undefined;
    const hello = await readHello(this.#link, this.#request, this.#options.signal);
    if (hello === "this-protocol") return this.tunnel();
    if (hello === "other-protocol") answerOtherProtocol(this.#link, this.#request.role);
    return undefined;
  }

  #sendBundle(): undefined {
    const bundle = readPackedBundle();
    this.#options.output.detail({ code: "bundle-sent", bytes: bundle.length });
    this.#link.child.stdin.write(bundle);
  }

  async #hasImage(platform: Platform | undefined): Promise<boolean> {
    return platform !== undefined && (await this.#options.sendImage(platform));
  }

  #write(answer: string): undefined {
    this.#link.child.stdin.write(`${answer}\n`);
  }
}

/** The next input. `hello`: the hello of a docker-over-ssh that a login with a forced command (ForceCommand) has started. */
type Next =
  | { kind: "line"; line: RemoteLine | undefined; words: string }
  | { kind: "hello" }
  | Extract<StartedProgram, { kind: "no-script" }>;

async function nextLine(
  link: RemoteCommand,
  timeout: number | undefined,
  { signal, output, acceptsCommand = false }: StartRemoteOptions,
  isFirst: boolean,
): Promise<Next> {
  const either = AbortSignal.any([signal, link.signal]);
  const find: typeof findMarkerOrHello = isFirst ? findMarkerOrHello : findMarker;
  const { found, before } = await withinAnswerTimeout(
    link,
    { timeout, ...(isFirst && acceptsCommand && { hint: silentLoginHint(link) }) },
    either,
    async (stop) => await readUntil(link.child.stdout, find, { max: MAX_NOISE, signal: stop }),
  );
  if (found === undefined) {
    const exit = await link.child.exit();
    const failure = engineUnreachable(link, exit, before);
    if (isFirst && exit?.status !== undefined) return { kind: "no-script", status: exit.status, failure };
    throw failure;
  }
  if (before.trim() !== "")
    output.detail({ code: "noise", printedBy: "login-shell", text: before.trim().slice(0, 4096) });
  if (found.words === undefined) return { kind: "hello" };
  return { kind: "line", line: parseRemoteLine(found.words), words: found.words };
}

/** Returns whether this side lacks the program that logs in. The message comes from remote-command.ts. */
function isCommandMissing(link: RemoteCommand): boolean {
  return /^exec: .*: not found$/m.test(link.lastLines());
}

function findMarkerOrHello(text: string): { start: number; end: number; words: string | undefined } | undefined {
  const hello = text.indexOf(MAGIC_LINE);
  const marker = findMarker(text);
  if (hello === -1 || (marker !== undefined && marker.start < hello)) return marker;
  return { start: hello, end: hello, words: undefined };
}

function unknownLine({ words }: RemoteCommand, line: string): Failure {
  return new Failure(
    "remote-not-a-tunnel",
    `\`${words}\` wrote a line that the remote script does not write at this point: ${line.slice(0, MAX_SHOWN)}`,
    {
      expected: "the lines of the script that this docker-over-ssh sends there",
      hint: "Run the same command again with --verbose, and report its output.",
    },
  );
}
