import { Failure, messageOf, type FailureCode } from "../output/errors.ts";
import type { CommandDefinition } from "./command-definition.ts";

const PACKAGE = "docker-over-ssh-server";

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

/** The commands of a package of its own: whoever moves images does not install what a service needs. It reads their words. */
export const serveCommand: CommandDefinition<object> = {
  name: "serve",
  readsWords: true,
  summary: `run a build service: an API, a queue and a page (in the package ${PACKAGE})`,
  description: `Runs a service that builds images with an engine and pushes them. It is in the package ${PACKAGE}; docs/serve.md describes it.`,
  arguments: [{ term: "[WORD...]", description: "options of the service: serve --help lists them" }],
  options: [],
  usage: "[options]",
  toJob: (words) => ({
    handlesHangup: true,
    run: async ({ env, signal }) => {
      const { run } = await loadServer();
      await run(["serve", ...words], {
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

/** A reader that has gone (`--help | head`) is no failure. */
function writer(stream: NodeJS.WriteStream): (text: string) => void {
  stream.on("error", () => {});
  return (text) => void stream.write(text);
}

async function loadServer(): Promise<Server> {
  try {
    // @ts-ignore -- the package is built after this one, and need not be there
    const server: Server = await import("docker-over-ssh-server");
    return server;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A package that this one imports may be missing just as well.
    if (code !== "ERR_MODULE_NOT_FOUND" || !messageOf(error).startsWith(`Cannot find package '${PACKAGE}'`))
      throw error;
    throw new Failure("usage", `serve is in the package ${PACKAGE}, which is not installed`, {
      expected: `${PACKAGE} beside docker-over-ssh`,
      hint: `Run \`npm install --global ${PACKAGE}\`, or without --global where docker-over-ssh is a dependency.`,
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
