import { readFileSync } from "node:fs";
import { join } from "node:path";
import { cachedDataVersionTag, setFlagsFromString } from "node:v8";
import { Script } from "node:vm";
import { codeCache } from "./code-cache.ts";

/** The command in one file, which the build names by what is in it. */
declare const COMMAND_FILE: string;

/**
 * What bin/ runs: loads the command, and runs it. A file that V8 has compiled before is loaded in 15 ms, and else in 35, on either side
 * of a transfer, one after the other (Node 20 and 24). Node's own cache spares 10 of them, for modules none, and Node 20 has none.
 */
async function start(): Promise<void> {
  // Buffers that come and go make V8 mark the small heap again and again, beside us: of an image of 920 MB that was a third of
  // the sender's CPU time and 40 % of the receiver's (Node 20). Without it, it collects as often as it must, 11 times and not 182.
  // V8 takes compiled code only under the flags that it was compiled with, so this comes first.
  setFlagsFromString("--no-incremental-marking");
  const [, , side = ""] = process.argv;
  const isTransfer = side === "push" || side === "pull";
  const name = `${COMMAND_FILE}-${cachedDataVersionTag().toString(36)}-${side}`;
  const cache = isTransfer ? codeCache(name, process.env) : undefined;
  const filename = join(__dirname, COMMAND_FILE);
  const cachedData = cache?.read();
  const script = new Script(readFileSync(filename, "latin1"), {
    filename,
    ...(cachedData !== undefined && { cachedData }),
  });
  const module = { exports: {} };
  // A script that comes out of the cache has no `import` of its own (Node 20 and 24).
  const importModule = async (name: string): Promise<unknown> => await import(name);
  (script.runInThisContext() as Load)(module.exports, require, module, filename, __dirname, importModule);
  const { main } = module.exports as typeof import("./main.ts");
  const isDone = await main(process.argv);
  // Not before: it holds the functions that have run until then, and no others.
  if (isDone && script.cachedDataRejected !== false) cache?.write(() => script.createCachedData());
}

/** As Node wraps a CommonJS module, and one thing more. */
type Load = (
  exported: object,
  require: NodeJS.Require,
  module: object,
  filename: string,
  dirname: string,
  importModule: (name: string) => Promise<unknown>,
) => void;

void start();
