import { Failure, messageOf, type FailureCode } from "../output/errors.ts";
import type { CommandDefinition } from "./options/command-definition.ts";

/** The package of the services. It is separate, because moving images does not need it. */
export const SERVER_PACKAGE = "docker-over-ssh-server";

/** The exports of the server's package. Its failures are instances of its own copy of this library, with the same properties. */
interface Server {
  run(this: void, words: readonly string[], context: ServerContext): Promise<void>;
}

interface ServerContext {
  env: NodeJS.ProcessEnv;
  signal: AbortSignal;
  print: (text: string) => void;
  tell: (text: string) => void;
}

/** Creates a command of the server's package, which parses its words itself, including `--help`. */
export function serverCommand(
  command: Pick<CommandDefinition<object>, "name" | "summary" | "description">,
): CommandDefinition<object> {
  return {
    ...command,
    readsWords: true,
    arguments: [{ term: "[WORD...]", description: "arguments of the command; its --help lists them" }],
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

/** Returns a function that writes to a stream. A reader that has closed it (`--help | head`) is not a failure. */
function writer(stream: NodeJS.WriteStream): (text: string) => void {
  stream.on("error", () => {});
  return (text) => void stream.write(text);
}

async function loadServer(command: string): Promise<Server> {
  try {
    // @ts-ignore -- the package is built after this one, and may be missing
    const server: Server = await import("docker-over-ssh-server");
    return server;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A package that this one imports may also be missing.
    if (code !== "ERR_MODULE_NOT_FOUND" || !messageOf(error).startsWith(`Cannot find package '${SERVER_PACKAGE}'`))
      throw error;
    throw new Failure("usage", `${command} is in the package ${SERVER_PACKAGE}, which is not installed`, {
      expected: `${SERVER_PACKAGE}, installed next to docker-over-ssh`,
      hint: `Run \`npm install --global ${SERVER_PACKAGE}\`, or without --global if docker-over-ssh is a dependency.`,
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
