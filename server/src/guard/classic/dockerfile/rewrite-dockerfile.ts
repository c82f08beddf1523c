import { randomBytes } from "node:crypto";
import { TENANT_LABEL } from "../../images/reserved.ts";
import type { Policy } from "../../policy/policy.ts";
import { dockerfileError } from "./dockerfile-error.ts";
import { ExpansionError } from "./expand.ts";
import { readInstruction, type Instruction } from "./instruction.ts";
import { labelCount, type LabelCount } from "./label-count.ts";
import type { EscapeToken } from "./logical-lines.ts";
import { readDockerfile, type Stage } from "./read-dockerfile.ts";
import { checkLabels, checkTriggers, writeTrigger } from "./triggers.ts";
import {
  asEnvironment,
  MAX_VARIABLES,
  metaVariables,
  type BuildArgs,
  type Environment,
  type Variables,
} from "./variables.ts";
import { writeFiles } from "./write-files.ts";
import { writeLine } from "./write-line.ts";

/** An image with which a stage begins, or from which it copies files. */
export interface Base {
  /** The ID on the engine, e.g. `sha256:…` */
  id: string;
  /** `Config.Env` */
  env: readonly string[];
  /** `Config.OnBuild` */
  triggers: readonly string[];
  /** Bytes of `Config.Labels` */
  labelBytes: number;
}

export interface RewriteOptions {
  target: string | undefined;
  buildArgs: BuildArgs;
  policy: Policy;
  tenant: string;
  /** Finds an image that a tenant may use, by a name or an ID, and pulls it if necessary. Throws a Refusal. */
  resolve: (given: string, platform: string | undefined) => Promise<Base>;
}

/** A Dockerfile that the engine and the guard parse in the same way. */
export interface RewrittenDockerfile {
  text: string;
  /** The instructions for which the engine prints a `Step`, in its order: the tenant's text, or undefined for an instruction that the guard has added */
  steps: readonly (string | undefined)[];
}

/** The state of a rewrite, with the lines written so far. */
interface Build {
  options: RewriteOptions;
  escape: EscapeToken;
  meta: Variables;
  /** Random, so that no stage has the name of an image. An engine that did not recognize the stage would use that image */
  mark: string;
  done: { stage: Stage; name: string; base: string; environment: Environment; triggers: readonly Instruction[] }[];
  lines: string[];
  steps: (string | undefined)[];
  labels: LabelCount;
}

const PLATFORM = /^[\w./-]{1,100}$/;

/**
 * Rewrites a Dockerfile with one line for each instruction, the IDs of images, and the guard's names of stages. The engine therefore reads the Dockerfile that
 * the guard has checked, however its parser would interpret the tenant's text. Each stage gets the label of the tenant, which identifies all images of a build
 * as the tenant's.
 *
 * @throws Refusal for an unreadable Dockerfile, and for an instruction that the tenant may not use
 */
export async function rewriteDockerfile(text: string, options: RewriteOptions): Promise<RewrittenDockerfile> {
  const { escape, metaArgs, stages } = readDockerfile(text, options.target);
  const meta = metaVariables(options.buildArgs, escape);
  const mark = randomBytes(8).toString("hex");
  const build: Build = { options, escape, meta, mark, done: [], lines: [], steps: [], labels: labelCount(escape) };
  if (escape === "`") build.lines.push("# escape=`");
  for (const instruction of metaArgs) {
    meta.apply(instruction);
    write(build, `ARG ${instruction.rest}`, instruction);
  }
  for (const stage of stages) await writeStage(build, stage);
  return { text: `${build.lines.join("\n")}\n`, steps: build.steps };
}

async function writeStage(build: Build, stage: Stage): Promise<void> {
  const { from, instructions } = stage;
  const { escape, meta, done } = build;
  const platform = stage.platform === undefined ? undefined : expanded(meta, stage.platform, from.line);
  if (platform !== undefined && !PLATFORM.test(platform)) {
    throw dockerfileError(from.line, `failed to parse platform ${platform}`);
  }
  const base = await baseOf(build, stage, platform);
  const name = `s${done.length}-${build.mark}`;
  write(build, `FROM ${platform === undefined ? "" : `--platform=${platform} `}${base.written} AS ${name}`, from);
  const variables = meta.forStage(base.environment);
  build.labels.inherit(base.labelBytes);
  for (const trigger of base.triggers) {
    build.labels.step(trigger, variables);
    variables.apply(trigger);
  }
  build.lines.push(writeLine(tenantLabel(build, base.written), escape, from.line));
  build.steps.push(undefined);
  const triggers: Instruction[] = [];
  for (const instruction of instructions) {
    write(build, await writeInstruction(build, instruction, variables, triggers), instruction);
    build.labels.step(instruction, variables);
    variables.apply(instruction);
  }
  done.push({ stage, name, base: base.written, environment: variables.environment, triggers });
}

/**
 * Returns the instruction that sets the tenant's label. The last value applies; a value before it distinguishes stages on the same base. Without it, their
 * first steps would be equal. An engine looks up only the newest of equal steps, and uses it only if it is under an image of its cache sources, so the steps of
 * the other stage would run again.
 */
function tenantLabel({ options, done }: Build, base: string): string {
  const before = done.filter((stage) => stage.base === base).length;
  const mark = before === 0 ? "" : ` ${TENANT_LABEL}=${before}`;
  return `LABEL${mark} ${TENANT_LABEL}=${options.tenant}`;
}

/** Resolves the base of FROM, which is a stage, `scratch`, or an image. */
async function baseOf({ options, meta, done }: Build, { base, from }: Stage, platform: string | undefined) {
  const given = expanded(meta, base, from.line);
  if (given === "") throw dockerfileError(from.line, `base name (${base}) should not be blank`);
  const earlier = done.find(({ stage }) => stage.name === given.toLowerCase());
  if (earlier !== undefined) {
    return { written: earlier.name, environment: earlier.environment, triggers: earlier.triggers, labelBytes: 0 };
  }
  if (given === "scratch") return { written: given, environment: asEnvironment([]), triggers: [], labelBytes: 0 };
  const image = await options.resolve(given, platform);
  if (image.env.length > MAX_VARIABLES) throw dockerfileError(from.line, `${given} has too many variables`);
  const triggers = checkTriggers(image.triggers, given, from.line, options.policy);
  return { written: image.id, environment: asEnvironment(image.env), triggers, labelBytes: image.labelBytes };
}

/** Resolves `--from=` to the number of an earlier stage or the ID of an image. The name of a stage precedes a number, which precedes an image. */
async function sourceOf({ options, done }: Build, given: string, line: number): Promise<string> {
  const named = done.findIndex(({ stage }) => stage.name === given.toLowerCase());
  if (named !== -1) return String(named);
  if (/^[+-]?\d+$/.test(given)) {
    const number = Number(given);
    if (number >= 0 && number < done.length) return String(number);
    const why = number === done.length ? "refers to current build stage" : "index out of bounds";
    throw dockerfileError(line, `invalid from flag value ${given}: ${why}`);
  }
  return (await options.resolve(given, undefined)).id;
}

async function writeInstruction(
  build: Build,
  instruction: Instruction,
  variables: Variables,
  triggers: Instruction[],
): Promise<string> {
  const { escape, options } = build;
  const { name, rest, line } = instruction;
  switch (name) {
    case "ADD":
    case "COPY": {
      const given = fromFlag(instruction);
      // writeFiles refuses a name with a variable.
      const source = given === undefined || given.includes("$") ? "" : await sourceOf(build, given, line);
      return writeFiles(instruction, {
        policy: options.policy,
        expand: (word) => variables.expand(word),
        from: () => source,
      });
    }
    case "LABEL":
      checkLabels(instruction, escape);
      return `LABEL ${instruction.args}`;
    case "ONBUILD": {
      const trigger = readInstruction({ text: rest, number: line }, escape);
      triggers.push(trigger);
      return `ONBUILD ${writeTrigger(trigger, escape, options.policy)}`;
    }
    default:
      return `${name} ${rest}`;
  }
}

function fromFlag({ name, flags }: Instruction): string | undefined {
  if (name !== "COPY") return undefined;
  return flags.find((flag) => flag.startsWith("--from="))?.slice("--from=".length) || undefined;
}

function expanded(variables: Variables, word: string, line: number): string {
  try {
    return variables.expand(word);
  } catch (error) {
    if (error instanceof ExpansionError) throw dockerfileError(line, `failed to process "${word}": ${error.message}`);
    throw error;
  }
}

function write(build: Build, text: string, { text: shown, line }: Instruction): void {
  build.lines.push(writeLine(text, build.escape, line));
  build.steps.push(shown);
}
