import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { InvalidChoice, parseChoice, type Choice } from "./packing/choice.ts";
import type { PullRequest } from "./pull.ts";
import type { PushRequest } from "./push.ts";
import type { Delta, Context } from "./transfer.ts";
import { VERSION } from "./version.ts";

/** How a command is told to speak to people. */
export interface OutputChoice {
  quiet: boolean;
  verbose: boolean;
  progress: boolean;
}

/** Of either command; each reads what is its own. */
type Request = PushRequest & PullRequest;

/** A command line that has been understood, and is yet to run. */
export interface Job {
  choice: OutputChoice;
  /** Without a command, this process is the far command itself: its stdout is the tunnel. */
  request: Request;
  run(context: Context): Promise<void>;
}

interface Options {
  registry?: string;
  via?: "load" | "pull";
  to?: string;
  maxSize?: number;
  platform?: string;
  host?: string;
  quiet?: true;
  verbose?: true;
  progress: boolean;
  timeout?: number;
  as?: string;
  compress?: Choice;
  bwlimit?: number;
  sudo?: true;
  delta?: Delta | false;
  preserveDigest?: true;
}

export type Parsed = { job: Job } | { exitStatus: number };

/**
 * Reads a command line (`argv` as in process.argv). What people asked to read (help, version) or must read (what is wrong
 * with the line) is written by `write`. The command itself is imported when it runs.
 */
export async function parseCommandLine(
  argv: readonly string[],
  write: { out: (text: string) => void; err: (text: string) => void },
): Promise<Parsed> {
  let job: Job | undefined;
  const program = buildProgram((chosen) => (job = chosen));
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({ writeOut: write.out, writeErr: write.err });
  }
  try {
    await program.parseAsync(argv);
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return { exitStatus: error.exitCode === 0 ? 0 : 2 };
  }
  return job === undefined ? { exitStatus: 2 } : { job };
}

/**
 * Writes to stdout or stderr, which is not touched before: it may be the tunnel. That who reads it is gone (`--help | head -1`) is no
 * fault, and would else be an uncaught error.
 */
export function writerTo(name: "stdout" | "stderr"): (text: string) => void {
  return (text) => {
    const stream = process[name];
    if (stream.listenerCount("error") === 0) stream.on("error", () => {});
    stream.write(text);
  };
}

function buildProgram(choose: (job: Job) => void): Command {
  const program = new Command("docker-over-ssh")
    .description("Moves Docker images over any stream, and sends only the layers that are missing.")
    .version(VERSION, "-V, --version")
    .enablePositionalOptions()
    .showHelpAfterError("(docker-over-ssh --help shows how)")
    .addHelpText(
      "after",
      `
Examples:
  docker-over-ssh push app:v2 ssh prod "docker-over-ssh pull app:v2"
  docker-over-ssh pull app:v2 ssh ci "docker-over-ssh push app:v2"
  docker-over-ssh push app:v2 docker exec -i other docker-over-ssh pull app:v2
with nothing but Docker on the other side:
  docker-over-ssh push app:v2 ssh prod docker system dial-stdio
  docker-over-ssh push app:v2 ssh://deploy@prod
with no engine on this side, but docker-archive:FILE, oci:FOLDER or oci-archive:FILE, [:NAME] behind it; - is stdin:
  docker-over-ssh push oci:./layout:v2 ssh prod "docker-over-ssh pull app:v2"
  docker-over-ssh pull --to docker-archive:app.tar app:v2 ssh ci "docker-over-ssh push app:v2"

Exit status: 0 done, 2 wrong command line, others name a cause: see docs/exit-status.md.`,
    );

  const push = program
    .command("push")
    .summary("send an image to the remote command, or to the stdin and stdout of this process")
    .description(
      "Sends IMAGE. With a COMMAND, runs it and speaks with the `docker-over-ssh pull IMAGE` at its end, or with the engine behind `docker system dial-stdio`; ssh://[USER@]HOST[:PORT] is short for whichever is there. Without, is that end.",
    )
    .addOption(
      new Option(
        "--registry <where>",
        "serve the image from this process (embedded, the default), a registry:2 container (container), or a registry of yours (HOST:PORT)",
      ).argParser(checkRegistry),
    );
  addTransfer(push, async () => (await import("./remote/transfers.ts")).pushToRemote, choose);

  const pull = program
    .command("pull")
    .summary("receive an image from the remote command, or from the stdin and stdout of this process")
    .description(
      "Receives IMAGE. With a COMMAND, runs it and speaks with the `docker-over-ssh push IMAGE` at its end, or with the engine behind `docker system dial-stdio`; ssh://[USER@]HOST[:PORT] is short for whichever is there. Without, is that end.",
    )
    .addOption(
      new Option(
        "--via <way>",
        "load what is missing into the engine (the default), or let the engine pull by itself",
      ).choices(["load", "pull"]),
    )
    .option(
      "--to <place>",
      "put it into docker-archive:FILE, oci:FOLDER or oci-archive:FILE, not into an engine; FILE may be - for stdout, or a pipe",
    )
    .addOption(
      new Option(
        "--max-size <size>",
        "take no image whose missing layers, unpacked, have more bytes than that, e.g. 500m or 2g",
      ).argParser(readSize),
    );
  addTransfer(pull, async () => (await import("./remote/transfers.ts")).pullFromRemote, choose);
  return program;
}

type Transfer = (request: Request, context: Context) => Promise<void>;

/** The arguments and options that both commands share. */
function addTransfer(command: Command, load: () => Promise<Transfer>, choose: (job: Job) => void): void {
  command
    .usage("[options] IMAGE [COMMAND...]")
    .argument(
      "<IMAGE>",
      "name of the image, the same on both sides, or its ID, with --as; or, to push, docker-archive:FILE, oci:FOLDER or oci-archive:FILE, [:NAME] behind it",
    )
    .argument("[COMMAND...]", "program and arguments that start the other side; passed on untouched")
    .passThroughOptions()
    .addOption(
      new Option("--platform <os/arch>", "which variant of the image, e.g. linux/arm64").argParser(checkPlatform),
    )
    .option(
      "--as <name>",
      "what the image is called where it arrives; without it, IMAGE, or what the receiving side asks for",
    )
    .addOption(
      new Option(
        "--delta <when>",
        "send missing layers in pieces, of which the receiver may have most: auto (where that is faster, the default), always (where it is possible) or never",
      ).choices(["auto", "always", "never"]),
    )
    .option("--no-delta", "the same as --delta never")
    .option(
      "--preserve-digest",
      "send layers as the source stores them, and keep its manifest: where both sides keep manifests, its digest is the same on both",
    )
    .addOption(
      new Option(
        "--compress <how>",
        "how to compress layers that are stored plain: none, gzip, brotli or zstd, with a level if you like (gzip:9); default: auto, the best that both sides have, as hard as the link leaves time for. Layers that are stored compressed go as they are",
      ).argParser(readChoice),
    )
    .addOption(
      new Option(
        "--bwlimit <rate>",
        "send and receive no faster, in KiB a second or with a unit, as for rsync: 500, 1.5m, 2mb; 0 is no limit",
      ).argParser(readRate),
    )
    .option("--sudo", "with ssh://HOST: use the engine there through sudo, which must ask for no password")
    .option("-H, --host <address>", "the engine, as for the docker command: unix://, tcp://, npipe:// or ssh://")
    .option("-q, --quiet", "print errors only")
    .option("--verbose", "print what is being done")
    .option("--no-progress", "do not print progress")
    .addOption(
      new Option(
        "--timeout <seconds>",
        "give up when the remote side or an engine does not answer, or the link is silent, for this long (default: 60, 20 for the link); what an engine works on may be silent ten times as long",
      ).argParser(checkSeconds),
    )
    .action((image: string, words: string[], options: Options) => {
      const { quiet = false, verbose = false, progress, timeout, delta = "auto", ...own } = options;
      const ms = timeout === undefined ? undefined : timeout * 1000;
      // As after `--` anywhere: what follows is the command.
      const command = words[0] === "--" ? words.slice(1) : words;
      const request = { image, command, timeout: ms, delta: delta === false ? "never" : delta, ...own };
      choose({
        choice: { quiet, verbose, progress },
        request,
        run: async (context) => (await load())(request, context),
      });
    });
}

function readChoice(value: string): Choice {
  try {
    return parseChoice(value);
  } catch (error) {
    throw error instanceof InvalidChoice ? new InvalidArgumentError(error.message) : error;
  }
}

/** As for docker's own options (docker/go-units): a number, and a letter for powers of 1024. */
function readSize(value: string): number {
  const [, number, unit = ""] = /^(\d+(?:\.\d+)?)([kmgt]?)(?:i?b)?$/i.exec(value) ?? [];
  if (number === undefined) throw new InvalidArgumentError("Expected a number of bytes, or one with k, m, g or t.");
  return Math.floor(Number(number) * 1024 ** " kmgt".indexOf(unit.toLowerCase() || " "));
}

/** Bytes a second below which rsync takes no limit, and a tunnel could not show that it lives. */
const LEAST_RATE = 512;

/** As for rsync's --bwlimit: KiB, or a number with a unit: powers of 1024 (`m`, `mib`), powers of 1000 (`mb`), or bytes (`b`). */
function readRate(value: string): number {
  const [, number, unit = "k"] = /^(\d+(?:\.\d+)?)(b|[kmgtp](?:i?b)?)?$/.exec(value.toLowerCase()) ?? [];
  if (number === undefined)
    throw new InvalidArgumentError("Expected KiB a second, or a number with a unit, e.g. 1.5m.");
  const base = unit.length === 2 ? 1000 : 1024;
  const rate = Math.floor(Number(number) * base ** "bkmgtp".indexOf(unit.charAt(0)));
  if (Number(number) === 0 || (rate >= LEAST_RATE && Number.isSafeInteger(rate))) return rate;
  throw new InvalidArgumentError(`Expected at least ${LEAST_RATE} bytes a second, or 0 for no limit.`);
}

function checkRegistry(value: string): string {
  if (value === "embedded" || value === "container" || value.includes(":")) return value;
  throw new InvalidArgumentError("Expected embedded, container or HOST:PORT.");
}

function checkPlatform(value: string): string {
  if (/^[a-z0-9]+\/[a-z0-9_]+(?:\/[a-z0-9.]+)?$/.test(value)) return value;
  throw new InvalidArgumentError("Expected OS/ARCH or OS/ARCH/VARIANT, e.g. linux/arm64.");
}

function checkSeconds(value: string): number {
  const seconds = Number(value);
  if (seconds > 0 && seconds <= 86_400) return seconds;
  throw new InvalidArgumentError("Expected a number of seconds above 0.");
}
