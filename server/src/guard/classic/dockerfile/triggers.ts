import { isReservedLabel } from "../../images/reserved.ts";
import type { Policy } from "../../policy/policy.ts";
import { dockerfileError, dockerfileRefusal } from "./dockerfile-error.ts";
import { expand, ExpansionError } from "./expand.ts";
import { refuseHeredoc } from "./heredocs.ts";
import { flagsOf, pairs, readInstruction, type Instruction } from "./instruction.ts";
import { isContinued, logicalLines, type EscapeToken } from "./logical-lines.ts";
import { writeFiles, writeUnchanged } from "./write-files.ts";

/** Instructions that cannot be triggers */
const NO_TRIGGERS: ReadonlySet<string> = new Set(["ONBUILD", "FROM", "MAINTAINER"]);
/** Maximum triggers of a base. Each becomes a step of each stage on top of the base. */
const MAX_TRIGGERS = 100;

/**
 * Checks the triggers (`Config.OnBuild`) of a base. The engine runs them after FROM, unchanged, so a trigger that the guard would have to rewrite is refused.
 *
 * @returns the triggers as instructions
 */
export function checkTriggers(triggers: readonly string[], base: string, line: number, policy: Policy): Instruction[] {
  if (triggers.length > MAX_TRIGGERS) throw dockerfileError(line, `${base} has more than ${MAX_TRIGGERS} triggers`);
  return triggers.map((trigger) => {
    const refused = (why: string): Error =>
      dockerfileRefusal(
        "dockerfile.trigger",
        line,
        `${base} has a trigger that is not allowed here, ${why}: ONBUILD ${trigger.slice(0, 200)}`,
      );
    const { lines, escape } = logicalLines(trigger);
    const [only] = lines;
    // Only triggers that were written by hand have directives, comments and joined lines.
    if (only === undefined || trigger.includes("\n") || trigger.includes("\0") || isContinued(trigger, escape)) {
      throw refused("of more than one line");
    }
    const instruction = readInstruction({ text: only.text, number: line }, escape);
    const written = writeTrigger(instruction, escape, policy);
    const isFiles = instruction.name === "COPY" || instruction.name === "ADD";
    if (isFiles && written !== writeUnchanged(instruction)) throw refused("as its sources are variables");
    return instruction;
  });
}

/**
 * Returns the rewritten instruction of ONBUILD, which the engine stores and runs in builds on top of the image. Throws a Refusal for an instruction that these
 * builds could not run.
 */
export function writeTrigger(instruction: Instruction, escape: EscapeToken, policy: Policy): string {
  const { name, line, rest } = instruction;
  if (NO_TRIGGERS.has(name)) throw dockerfileError(line, `${name} isn't allowed as an ONBUILD trigger`);
  refuseHeredoc(instruction);
  if (name === "LABEL") checkLabels(instruction, escape);
  if (name !== "ADD" && name !== "COPY") return `${name} ${rest}`.trim();
  return writeFiles(instruction, {
    policy,
    expand: undefined,
    from: (given) => {
      throw dockerfileRefusal("dockerfile.trigger", line, `--from=${given} is not allowed in ONBUILD`);
    },
  });
}

/** Refuses the guard's own labels, and keys that are unknown before the build. */
export function checkLabels(instruction: Instruction, escape: EscapeToken): void {
  flagsOf(instruction, []);
  // After LABEL, `--` would again end the flags, and the text after it would be other labels.
  if (instruction.args.startsWith("--")) {
    throw dockerfileError(instruction.line, "the key of a label cannot begin with --");
  }
  for (const [key] of pairs(instruction, escape)) {
    let plain: string;
    try {
      plain = expand(key, escape, () => {
        throw new ExpansionError("the key of a label cannot have variables");
      });
    } catch (error) {
      if (error instanceof ExpansionError) throw dockerfileError(instruction.line, error.message);
      throw error;
    }
    if (isReservedLabel(plain)) {
      throw dockerfileRefusal(
        "label.reserved",
        instruction.line,
        `the label ${JSON.stringify(plain)} is the guard's own`,
      );
    }
  }
}
