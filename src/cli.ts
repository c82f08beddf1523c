import { isatty } from "node:tty";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import {
  InvalidValue,
  type CommandDefinition,
  type OptionDefinition,
  type CommandJob,
} from "./commands/options/command-definition.ts";
import { COMMANDS } from "./commands/all-commands.ts";
import { buildFromStdinCommand } from "./commands/build-from-stdin.ts";
import { readOutput, withOutputOptions } from "./commands/options/output-options.ts";
import { refuseUsedStdout } from "./commands/refuse-used-stdout.ts";
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
  const definition = COMMANDS.find(({ name }) => name === command);
  if (definition?.readsWords) return [node, script, definition.name, "--", ...words];
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

  for (const definition of COMMANDS) addCommand(program, definition, choose, env);
  return program;
}

/** Returns the commands that people type. */
export function commandsForPeople(program: Command): Command[] {
  const visible = program.createHelp().visibleCommands(program);
  return program.commands.filter((command) => visible.includes(command));
}

function addCommand(
  program: Command,
  definition: CommandDefinition<object>,
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
    const given: Record<string, unknown> = command.opts();
    const output = readOutput(given);
    // Do not touch process.stdin, which may be the tunnel. Nobody watches the terminal of a CI run.
    const isUnattended = output.quiet || !output.progress || output.json || (env["CI"] ?? "") !== "";
    const mayPrompt = !isUnattended && isatty(0) && isatty(2);
    const job = await definition.toJob(command.args, { ...given, mayPrompt }, env);
    if (output.json) job.batch?.remotes.forEach(refuseUsedStdout);
    choose({ output: { ...output, json: output.json && job.printsOnStdout !== true }, ...job });
  });
}

function optionOf({ flags, description, choices, preset, parse, repeats }: OptionDefinition): Option {
  const option = new Option(flags, description);
  if (choices !== undefined) option.choices(choices);
  if (preset !== undefined) option.preset(preset);
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
