import { dockerfileError } from "./dockerfile-error.ts";
import { expand, ExpansionError, type Lookup } from "./expand.ts";
import { pairs, quotedWords, type Instruction } from "./instruction.ts";
import type { EscapeToken } from "./logical-lines.ts";

/** The values of --build-arg. Null refers to the builder's environment, which is empty. */
export type BuildArgs = Readonly<Record<string, string | null>>;

/** Build arguments that do not need an ARG */
const PROXIES = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];
const PREDEFINED: ReadonlySet<string> = new Set([...PROXIES, ...PROXIES.map((name) => name.toLowerCase())]);
/** Maximum variables of a stage. Each stage begins with a copy of its base's variables. */
export const MAX_VARIABLES = 1000;
/** A value that only a newer engine, or no engine, can compute */
const UNKNOWN = Symbol("unknown");

type Value = string | typeof UNKNOWN;

/** The variables of a Dockerfile, or of one of its stages, at one instruction. */
export interface Variables {
  /** Applies ARG and ENV. Other instructions have no effect. Throws a Refusal for too many variables. */
  apply(instruction: Instruction): void;
  /** Expands a word, and removes its quotes. Throws an ExpansionError. */
  expand(word: string): string;
  /** Returns the variables with which a stage begins. @param environment of its base */
  forStage(environment: Environment): Variables;
  /** The current values that ENV has set */
  readonly environment: Environment;
}

export type Environment = ReadonlyMap<string, Value>;

/** Parses `Config.Env` of an image. */
export function asEnvironment(entries: readonly string[]): Environment {
  return new Map(
    entries.map((entry) => {
      const equals = entry.indexOf("=");
      return equals === -1 ? [entry, ""] : [entry.slice(0, equals), entry.slice(equals + 1)];
    }),
  );
}

/** Returns the variables before the first FROM, which only ARG sets. */
export function metaVariables(buildArgs: BuildArgs, escape: EscapeToken): Variables {
  return variables({ buildArgs, escape, meta: new Map(), args: new Map(), env: new Map(), isMeta: true });
}

interface State {
  buildArgs: BuildArgs;
  escape: EscapeToken;
  /** The values of ARG before the first FROM; undefined for one without a value */
  meta: Map<string, Value | undefined>;
  /** The values of ARG in this stage */
  args: Map<string, Value | undefined>;
  env: Map<string, Value>;
  isMeta: boolean;
}

function variables(state: State): Variables {
  const { buildArgs, escape, meta, args, env, isMeta } = state;
  const argument = (name: string): Value | undefined => {
    if (!args.has(name) && !PREDEFINED.has(name)) return undefined;
    const given = Object.hasOwn(buildArgs, name) ? buildArgs[name] : undefined;
    return given ?? args.get(name) ?? meta.get(name);
  };
  const lookup: Lookup = (name) => {
    const value = env.get(name) ?? argument(name);
    if (value === UNKNOWN) throw new ExpansionError(`the value of ${name} cannot be known before the build`);
    return value;
  };
  const tryExpand = (word: string): Value => {
    try {
      return expand(word, escape, lookup);
    } catch (error) {
      if (error instanceof ExpansionError) return UNKNOWN;
      throw error;
    }
  };
  return {
    apply(instruction) {
      if (instruction.name === "ENV") {
        // All values of one instruction are expanded before any is set.
        const set = pairs(instruction, escape).map(([key, value]) => [tryExpand(key), tryExpand(value)] as const);
        for (const [key, value] of set) if (key !== UNKNOWN) env.set(key, value);
      } else if (instruction.name === "ARG") {
        for (const word of quotedWords(instruction.args, escape)) {
          const equals = word.indexOf("=");
          const key = tryExpand(equals === -1 ? word : word.slice(0, equals));
          if (key === UNKNOWN) continue;
          args.set(key, equals === -1 ? undefined : tryExpand(word.slice(equals + 1)));
          if (isMeta) meta.set(key, args.get(key));
        }
      }
      if (env.size + args.size > MAX_VARIABLES) {
        throw dockerfileError(instruction.line, `more than ${MAX_VARIABLES} variables`);
      }
    },
    expand: (word) => expand(word, escape, lookup),
    forStage: (environment) =>
      variables({ buildArgs, escape, meta, args: new Map(), env: new Map(environment), isMeta: false }),
    environment: env,
  };
}
