import { dockerfileError } from "./dockerfile-error.ts";
import { refuseHeredoc } from "./heredocs.ts";
import { flagsOf, readInstruction, words, type Instruction } from "./instruction.ts";
import { logicalLines, type EscapeToken } from "./logical-lines.ts";

export interface Dockerfile {
  escape: EscapeToken;
  /** The ARG instructions before the first FROM */
  metaArgs: readonly Instruction[];
  stages: readonly Stage[];
}

export interface Stage {
  from: Instruction;
  /** The base verbatim, e.g. `alpine:${VERSION}` */
  base: string;
  /** In lower case */
  name: string | undefined;
  platform: string | undefined;
  instructions: readonly Instruction[];
}

/** More than any Dockerfile needs. The engine creates an image for each instruction. */
const MAX_INSTRUCTIONS = 2000;
const MAX_STAGES = 256;

/**
 * Parses a Dockerfile like the classic builder.
 *
 * @param target the stage of --target; later stages are omitted
 * @throws Refusal `dockerfile.invalid`, `dockerfile.encoding`
 */
export function readDockerfile(text: string, target?: string): Dockerfile {
  const { lines, escape } = logicalLines(text);
  if (lines.length > MAX_INSTRUCTIONS) {
    throw dockerfileError(lines.at(-1)?.number ?? 1, `more than ${MAX_INSTRUCTIONS} instructions`);
  }
  const metaArgs: Instruction[] = [];
  const stages: (Stage & { instructions: Instruction[] })[] = [];
  for (const line of lines) {
    const instruction = readInstruction(line, escape);
    refuseHeredoc(instruction);
    const stage = stages.at(-1);
    if (instruction.name === "FROM") stages.push({ ...readFrom(instruction), instructions: [] });
    else if (stage !== undefined) stage.instructions.push(instruction);
    else if (instruction.name === "ARG") metaArgs.push(instruction);
    else throw dockerfileError(line.number, "no build stage in current context");
  }
  if (stages.length === 0) throw dockerfileError(1, lines.length === 0 ? "file with no instructions" : "no FROM");
  const tooMany = stages[MAX_STAGES];
  if (tooMany !== undefined) throw dockerfileError(tooMany.from.line, `more than ${MAX_STAGES} stages`);
  refuseSameNames(stages);
  return { escape, metaArgs, stages: target === undefined ? stages : upTo(stages, target) };
}

function readFrom(from: Instruction): Omit<Stage, "instructions"> {
  const platform = flagsOf(from, ["platform"]).get("platform") || undefined;
  // FROM accepts no JSON list, so a text that looks like one is a name that no image has.
  const [base = "", as, name, ...more] = words({ ...from, args: from.args.replace(/^\[/, " [") }).filter(
    (word) => word,
  );
  if (base === "" || more.length > 0 || (as !== undefined && (name === undefined || as.toLowerCase() !== "as"))) {
    throw dockerfileError(from.line, "FROM requires either one or three arguments");
  }
  const lower = name?.toLowerCase();
  if (lower !== undefined && !/^[a-z][a-z0-9-_.]*$/.test(lower)) {
    throw dockerfileError(
      from.line,
      `invalid name for build stage: "${name ?? ""}", name can't start with a number or contain symbols`,
    );
  }
  return { from, base, name: lower, platform };
}

function refuseSameNames(stages: readonly Stage[]): void {
  const seen = new Set<string>();
  for (const { name, from } of stages) {
    if (name === undefined) continue;
    if (seen.has(name)) throw dockerfileError(from.line, `${name} stage name already used`);
    seen.add(name);
  }
}

function upTo(stages: readonly Stage[], target: string): readonly Stage[] {
  const index = stages.findIndex(({ name }) => name === target.toLowerCase());
  if (index === -1) throw dockerfileError(1, `target stage "${target}" could not be found`);
  return stages.slice(0, index + 1);
}
