import type { Delta, PullRequest, PushRequest } from "./request.ts";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { InvalidCompressOption, parseCompressOption, type CompressOption } from "./packing/compress-option.ts";
import type { Context } from "./transfer.ts";
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
  compress?: CompressOption;
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

/** The commands with their arguments and options; `choose` gets the job that a parsed command line asks for. */
export function buildProgram(choose: (job: Job) => void): Command {
  const program = new Command("docker-over-ssh")
    .description("Moves Docker images between engines over any stream, and sends only the missing bytes.")
    .version(VERSION, "-V, --version")
    .enablePositionalOptions()
    .showHelpAfterError("(run docker-over-ssh --help for usage)")
    .addHelpText(
      "after",
      `
Examples:
  docker-over-ssh push app:v2 ssh prod "docker-over-ssh pull app:v2"
  docker-over-ssh pull app:v2 ssh ci "docker-over-ssh push app:v2"
  docker-over-ssh push app:v2 docker exec -i other docker-over-ssh pull app:v2
with nothing but Docker on the remote side:
  docker-over-ssh push app:v2 ssh prod docker system dial-stdio
  docker-over-ssh push app:v2 ssh://deploy@prod
without an engine on this side (docker-archive:FILE, oci:FOLDER or oci-archive:FILE, each with an optional :NAME; - is stdin):
  docker-over-ssh push oci:./layout:v2 ssh prod "docker-over-ssh pull app:v2"
  docker-over-ssh pull --to docker-archive:app.tar app:v2 ssh ci "docker-over-ssh push app:v2"

Exit status: 0 on success, 2 for a wrong command line; docs/exit-status.md lists the others.`,
    );

  const push = program
    .command("push")
    .summary("send an image through a remote command, or over stdin and stdout of this process")
    .description(
      "Sends IMAGE. With COMMAND, runs it and talks to the `docker-over-ssh pull IMAGE` that it starts, or to the engine behind `docker system dial-stdio`; ssh://[USER@]HOST[:PORT] uses whichever of them the host has. Without COMMAND, is the remote side itself.",
    )
    .addOption(
      new Option(
        "--registry <registry>",
        "serve the image from this process (embedded, the default), from a registry:2 container (container) or from your own registry (HOST:PORT)",
      ).argParser(checkRegistry),
    );
  addTransfer(push, async () => (await import("./remote/transfers.ts")).pushToRemote, choose);

  const pull = program
    .command("pull")
    .summary("receive an image through a remote command, or over stdin and stdout of this process")
    .description(
      "Receives IMAGE. With COMMAND, runs it and talks to the `docker-over-ssh push IMAGE` that it starts, or to the engine behind `docker system dial-stdio`; ssh://[USER@]HOST[:PORT] uses whichever of them the host has. Without COMMAND, is the remote side itself.",
    )
    .addOption(
      new Option(
        "--via <method>",
        "load the missing layers into the engine (the default), or let the engine pull the image",
      ).choices(["load", "pull"]),
    )
    .option(
      "--to <location>",
      "write the image to docker-archive:FILE, oci:FOLDER or oci-archive:FILE instead of an engine; FILE may be a pipe, or - for stdout",
    )
    .addOption(
      new Option(
        "--max-size <size>",
        "refuse an image whose missing layers are larger than this when unpacked, e.g. 500m or 2g",
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
      "name of the image, the same on both sides, or its ID; push also takes docker-archive:FILE, oci:FOLDER or oci-archive:FILE, each with an optional :NAME",
    )
    .argument("[COMMAND...]", "program and arguments that start the other side; passed on unchanged")
    .passThroughOptions()
    .addOption(
      new Option("--platform <os/arch>", "variant of the image to send, e.g. linux/arm64").argParser(checkPlatform),
    )
    .option(
      "--as <name>",
      "name of the image at the receiver; by default IMAGE, or the name that the receiver asks for",
    )
    .addOption(
      new Option(
        "--delta <when>",
        "send missing layers by delta: auto (where that is predicted to be faster, the default), always (where possible) or never",
      ).choices(["auto", "always", "never"]),
    )
    .option("--no-delta", "same as --delta never")
    .option(
      "--preserve-digest",
      "send layers as the source stores them and keep its manifest, so that its digest stays the same where both sides keep manifests",
    )
    .addOption(
      new Option(
        "--compress <codec>",
        "compress layers that are stored uncompressed: none, gzip, brotli or zstd, with an optional level (gzip:9); by default auto, the best codec that both sides have, at a level that keeps up with the link. Compressed layers are sent as they are",
      ).argParser(readChoice),
    )
    .addOption(
      new Option(
        "--bwlimit <rate>",
        "limit the rate in each direction, in KiB/s or with a unit as for rsync: 500, 1.5m, 2mb; 0 means no limit",
      ).argParser(readRate),
    )
    .option("--sudo", "with ssh://HOST: use the remote engine through sudo, which must not ask for a password")
    .option(
      "-H, --host <address>",
      "address of the engine, as for the docker command: unix://, tcp://, npipe:// or ssh://",
    )
    .option("-q, --quiet", "print only errors and the output of the remote command")
    .option("--verbose", "print each step and when it happens")
    .option("--no-progress", "do not print progress")
    .addOption(
      new Option(
        "--timeout <seconds>",
        "give up when the remote side or an engine does not answer, or the link is silent, for this long (default: 60, and 20 for the link); an engine that loads or saves may be silent ten times as long",
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

function readChoice(value: string): CompressOption {
  try {
    return parseCompressOption(value);
  } catch (error) {
    throw error instanceof InvalidCompressOption ? new InvalidArgumentError(error.message) : error;
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
