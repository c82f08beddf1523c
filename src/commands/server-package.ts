import { Failure, messageOf, type FailureCode } from "../output/errors.ts";
import type { CommandDefinition } from "./options/command-definition.ts";

/** The package of what runs as a service. Whoever moves images does not install it. */
export const SERVER_PACKAGE = "docker-over-ssh-server";

/** What the package of the server exports. Its failures are those of its own copy of this library: they have the same properties. */
interface Server {
  run(this: void, words: readonly string[], surroundings: ServerSurroundings): Promise<void>;
}

interface ServerSurroundings {
  env: NodeJS.ProcessEnv;
  signal: AbortSignal;
  print: (text: string) => void;
  tell: (text: string) => void;
}

/** Makes a command of the server's package: it reads its words, `--help` as well. */
export function serverCommand(
  command: Pick<CommandDefinition<object>, "name" | "summary" | "description">,
): CommandDefinition<object> {
  return {
    ...command,
    readsWords: true,
    arguments: [{ term: "[WORD...]", description: "words of the service: its --help lists them" }],
    options: [],
    usage: "[options]",
    toJob: (words) => ({
      handlesHangup: true,
      run: async ({ env, signal }) => {
        const { run } = await loadServer(command.name);
        await run([command.name, ...words], {
          env,
          signal,
          print: writer(process.stdout),
          tell: writer(process.stderr),
        }).catch((error: unknown) => {
          throw asOurs(error);
        });
      },
    }),
  };
}

/** A reader that has gone (`--help | head`) is no failure. */
function writer(stream: NodeJS.WriteStream): (text: string) => void {
  stream.on("error", () => {});
  return (text) => void stream.write(text);
}

async function loadServer(command: string): Promise<Server> {
  try {
    // @ts-ignore -- the package is built after this one, and need not be there
    const server: Server = await import("docker-over-ssh-server");
    return server;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A package that this one imports may be missing just as well.
    if (code !== "ERR_MODULE_NOT_FOUND" || !messageOf(error).startsWith(`Cannot find package '${SERVER_PACKAGE}'`))
      throw error;
    throw new Failure("usage", `${command} is in the package ${SERVER_PACKAGE}, which is not installed`, {
      expected: `${SERVER_PACKAGE} beside docker-over-ssh`,
      hint: `Run \`npm install --global ${SERVER_PACKAGE}\`, or without --global where docker-over-ssh is a dependency.`,
      cause: error,
    });
  }
}

function asOurs(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof Failure || error.name !== "Failure") return error;
  const { code, message, expected, hint } = error as Failure;
  return new Failure(code satisfies FailureCode, message, {
    ...(expected !== undefined && { expected }),
    ...(hint !== undefined && { hint }),
    cause: error,
  });
}
