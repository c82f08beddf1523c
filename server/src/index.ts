/**
 * The build service and the guard, for `docker-over-ssh serve` and `guard`, which load this package if it is installed.
 */
import { Failure } from "docker-over-ssh/builds";
import { addToken } from "./access/new-token.ts";
import { GUARD, type GuardOptions } from "./commands/guard-options.ts";
import { parseWords } from "./commands/option.ts";
import { readGuardSettings } from "./commands/read-guard-settings.ts";
import { readSettings } from "./commands/read-settings.ts";
import { SERVE, type ServeOptions } from "./commands/serve-options.ts";
import { TOKEN, type TokenOptions } from "./commands/token-options.ts";

export interface CommandDependencies {
  env: NodeJS.ProcessEnv;
  /** Stops the command. */
  signal: AbortSignal;
  /** Prints on stdout. */
  print: (text: string) => void;
  /** Prints on stderr. */
  tell: (text: string) => void;
}

/**
 * Runs a command of this package.
 *
 * @param words the command line after `docker-over-ssh`; the first word is `serve` or `guard`
 * @throws Failure with a code of docs/exit-status.md
 */
export async function run(words: readonly string[], dependencies: CommandDependencies): Promise<void> {
  const [command, first, ...rest] = words;
  if (command === "guard") return await runGuard(words.slice(1), dependencies);
  if (command !== "serve") throw new Failure("usage", `this package has no command ${command ?? ""}`);
  if (first === "token") return await runToken(rest, dependencies);
  return await runServe(words.slice(1), dependencies);
}

async function runServe(words: readonly string[], { env, signal, print, tell }: CommandDependencies): Promise<void> {
  const parsed = parseWords<ServeOptions>(SERVE, words, print);
  if (parsed === undefined) return;
  const settings = readSettings(parsed.options, env);
  const { serve } = await import("./serve.ts");
  await serve(settings, { env, signal, printLine: (line) => tell(`docker-over-ssh: ${line}\n`) });
}

async function runGuard(words: readonly string[], { env, signal, print, tell }: CommandDependencies): Promise<void> {
  if (words[0] === "explain") {
    const { explainRequest } = await import("./commands/guard-explain.ts");
    return await explainRequest(words.slice(1), print);
  }
  const parsed = parseWords<GuardOptions>(GUARD, words, print);
  if (parsed === undefined) return;
  const settings = readGuardSettings(parsed.options, env);
  const { guard } = await import("./guard/guard.ts");
  await guard(settings, { env, signal, printLine: (line) => tell(`docker-over-ssh: ${line}\n`) });
}

async function runToken(words: readonly string[], { print, tell }: CommandDependencies): Promise<void> {
  const parsed = parseWords<TokenOptions>(TOKEN, words, print);
  if (parsed === undefined) return;
  const { tokenFile = "tokens.json", scope, image } = parsed.options;
  const [name = ""] = parsed.words;
  const token = await addToken(tokenFile, { name, scopes: scope, images: image });
  print(`${token}\n`);
  tell(`docker-over-ssh: wrote its hash to ${tokenFile}; the token is shown only this once\n`);
}
