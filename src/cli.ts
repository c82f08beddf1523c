import { isatty } from "node:tty";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import {
  InvalidValue,
  type CommandDefinition,
  type OptionDefinition,
  type CommandJob,
} from "./commands/options/command-definition.ts";
import { buildCommand } from "./commands/build.ts";
import { buildFromStdinCommand } from "./commands/build-from-stdin.ts";
import { completionCommand } from "./commands/completion.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { listCommand } from "./commands/list.ts";
import { withOutputOptions } from "./commands/options/output-options.ts";
import { pluginCommand } from "./commands/plugin.ts";
import { pruneCommand } from "./commands/prune.ts";
import { publishCommand } from "./commands/publish.ts";
import { pullCommand } from "./commands/pull.ts";
import { pushCommand } from "./commands/push.ts";
import { refuseUsedStdout } from "./commands/refuse-used-stdout.ts";
import { relayCommand } from "./commands/relay.ts";
import { guardCommand } from "./commands/guard.ts";
import { serveCommand } from "./commands/serve.ts";
import { setupCommand } from "./commands/setup.ts";
import type { OutputOptions } from "./output/output.ts";
import { VERSION } from "./version.ts";

/** A parsed command line that has not run yet. */
export interface Job extends CommandJob {
  output: OutputOptions;
}

export type Parsed = { job: Job } | { exitStatus: number };

/**
 * Parses a command line (`argv` as in process.argv). Passes help, the version, and syntax errors to `write`. Throws a `usage`
 * Failure for arguments that contradict each other. The command itself is imported when it runs.
 */
export async function parseCommandLine(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  write: { out: (text: string) => void; err: (text: string) => void },
): Promise<Parsed> {
  let job: Job | undefined;
  const program = buildProgram((chosen) => (job = chosen), env);
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({ writeOut: (text) => write.out(asTyped(text)), writeErr: write.err });
  }
  try {
    await program.parseAsync(withCommand(argv));
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return { exitStatus: error.exitCode === 0 ? 0 : 2 };
  }
  return job === undefined ? { exitStatus: 2 } : { job };
}

/**
 * Makes `build --stdin` and `build --forced` a command of their own, because their options differ from those of a build on a host. The package of
 * `serve` and `guard` parses their words itself, including `--help`.
 */
function withCommand(argv: readonly string[]): readonly string[] {
  const [node = "", script = "", command, ...words] = argv;
  if (command === serveCommand.name || command === guardCommand.name) return [node, script, command, "--", ...words];
  if (command !== "build" || !words.some((word) => word === "--stdin" || word === "--forced")) return argv;
  return [node, script, buildFromStdinCommand.name, ...words];
}

/** Returns a help text with the command names that users type, see {@link withCommand}. */
function asTyped(text: string): string {
  return text.replaceAll(buildFromStdinCommand.name, "build");
}

/**
 * Returns a function that writes to stdout or stderr. It does not touch the stream before the first write, because the stream may be the tunnel. A
 * reader that has closed it (`--help | head -1`) is not a failure; without the listener, it would be an uncaught error.
 */
export function writerTo(name: "stdout" | "stderr"): (text: string) => void {
  return (text) => {
    const stream = process[name];
    if (stream.listenerCount("error") === 0) stream.on("error", () => {});
    stream.write(text);
  };
}

/** Defines the commands with their arguments and options. `choose` gets the job of a parsed command line. */
export function buildProgram(choose: (job: Job) => void, env: NodeJS.ProcessEnv): Command {
  const program = new Command("docker-over-ssh")
    .description("Moves Docker images between engines over any stream, and sends only the missing bytes.")
    .version(VERSION, "-V, --version")
    .enablePositionalOptions()
    .showHelpAfterError("(run docker-over-ssh --help for usage)")
    .addHelpText(
      "after",
      `
Examples:
  docker-over-ssh push app:v2 ssh://deploy@prod
  docker-over-ssh pull app:v2 ci
  docker-over-ssh push app:v2 docker://CONTAINER
  docker-over-ssh push app:v2 kubectl://NAMESPACE/POD
over any command that starts the other side, or leads to an engine:
  docker-over-ssh push app:v2 ssh prod "docker-over-ssh pull app:v2"
  docker-over-ssh push app:v2 ssh prod docker system dial-stdio
without an engine on this side (docker-archive:FILE, oci:FOLDER or oci-archive:FILE, each with an optional :NAME; - is stdin):
  docker-over-ssh push --as app:v2 oci:./layout:v2 ssh://prod
  docker-over-ssh pull --to docker-archive:app.tar app:v2 ssh://ci

Exit status: 0 on success, 2 for a wrong command line; docs/exit-status.md lists the others.`,
    );

  addCommand(program, pushCommand, choose, env);
  addCommand(program, pullCommand, choose, env);
  addCommand(program, buildCommand, choose, env);
  addCommand(program, publishCommand, choose, env);
  addCommand(program, setupCommand, choose, env);
  addCommand(program, serveCommand, choose, env);
  addCommand(program, guardCommand, choose, env);
  addCommand(program, doctorCommand, choose, env);
  addCommand(program, listCommand, choose, env);
  addCommand(program, pruneCommand, choose, env);
  addCommand(program, pluginCommand, choose, env);
  addCommand(program, completionCommand, choose, env);
  addCommand(program, relayCommand, choose, env);
  addCommand(program, buildFromStdinCommand, choose, env);
  return program;
}

/** Returns the commands that people type. */
export function commandsForPeople(program: Command): Command[] {
  const visible = program.createHelp().visibleCommands(program);
  return program.commands.filter((command) => visible.includes(command));
}

function addCommand<Options extends object>(
  program: Command,
  definition: CommandDefinition<Options>,
  choose: (job: Job) => void,
  env: NodeJS.ProcessEnv,
): void {
  const { name, isHidden = false, summary, description, options } = definition;
  const isPassedOn = definition.arguments.some(({ term }) => term.endsWith("...]"));
  const command = program
    .command(name, { hidden: isHidden })
    .summary(summary)
    .description(description)
    .usage(
      definition.usage ??
        ["[options]", ...definition.arguments.map(({ term }) => term.replace(/^<(.*)>$/, "$1"))].join(" "),
    )
    .passThroughOptions(isPassedOn);
  for (const { term, description: text } of definition.arguments) command.argument(term, text);
  for (const option of definition.readsWords ? options : withOutputOptions(options))
    command.addOption(optionOf(option));
  command.action(async () => {
    const given: Options & Partial<OutputOptions> & { delta?: unknown } = command.opts();
    const { quiet = false, verbose = false, json = false } = given;
    const progress = given.progress !== false; // for build, it may be a string
    const withDelta = { ...given, ...(given.delta === false && { delta: "never" }) }; // --no-delta
    // Do not touch process.stdin, which may be the tunnel. Nobody watches the terminal of a CI run.
    const isUnattended = quiet || !progress || json || (env["CI"] ?? "") !== "";
    const mayPrompt = !isUnattended && isatty(0) && isatty(2);
    const job = await definition.toJob(command.args, { ...withDelta, mayPrompt }, env);
    if (json) job.batch?.remotes.forEach(refuseUsedStdout);
    choose({ output: { quiet, verbose, progress, json: json && job.printsOnStdout !== true }, ...job });
  });
}

function optionOf({ flags, description, choices, parse, repeats }: OptionDefinition): Option {
  const option = new Option(flags, description);
  if (choices !== undefined) option.choices(choices);
  if (parse !== undefined) {
    option.argParser<unknown>((text, before) => {
      try {
        const value = parse(text);
        return repeats ? [...((before as unknown[] | undefined) ?? []), value] : value;
      } catch (error) {
        throw error instanceof InvalidValue ? new InvalidArgumentError(error.message) : error;
      }
    });
  }
  return option;
}
