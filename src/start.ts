import { readFileSync } from "node:fs";
import { join } from "node:path";
import { cachedDataVersionTag, setFlagsFromString } from "node:v8";
import { Script } from "node:vm";
import { codeCache } from "./code-cache.ts";

/** Name of the file that holds the whole command. The build names it by the hash of its content. */
declare const COMMAND_FILE: string;

/**
 * Loads the command and runs it; bin/ calls this. With code that V8 compiled in an earlier run, loading takes 15 ms instead of 35, on each
 * side of a transfer, one after the other (Node 20 and 24). Node's own compile cache saves 10 ms, nothing for modules, and is not in Node 20.
 */
async function start(): Promise<void> {
  // Short-lived buffers make V8 mark the small heap again and again in the background: for an image of 920 MB, a third of the sender's
  // CPU time and 40 % of the receiver's (Node 20). Without incremental marking it collects 11 times instead of 182.
  // First, because V8 accepts compiled code only under the flags that it was compiled with.
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
  // A script from the cache cannot use `import()` (Node 20 and 24).
  const importModule = async (name: string): Promise<unknown> => await import(name);
  (script.runInThisContext() as Load)(module.exports, require, module, filename, __dirname, importModule);
  const { main } = module.exports as typeof import("./main.ts");
  const isDone = await main(process.argv);
  // After the run: the cache then holds the functions that have run.
  if (isDone && script.cachedDataRejected !== false) cache?.write(() => script.createCachedData());
}

/** The parameters of Node's wrapper for CommonJS modules, and `importModule`. */
type Load = (
  exported: object,
  require: NodeJS.Require,
  module: object,
  filename: string,
  dirname: string,
  importModule: (name: string) => Promise<unknown>,
) => void;

void start();
