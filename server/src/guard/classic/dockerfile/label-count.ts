import { MAX_LABELS } from "../../images/labels.ts";
import { dockerfileRefusal } from "./dockerfile-error.ts";
import { ExpansionError } from "./expand.ts";
import { pairs, type Instruction } from "./instruction.ts";
import type { EscapeToken } from "./logical-lines.ts";
import type { Variables } from "./variables.ts";

/** Maximum bytes of the labels of all steps of a build. Each step is an image with all labels so far. */
const MAX_IN_STEPS = 8 * 1024 * 1024;

/** Counts the labels of a Dockerfile and of its steps. Its methods throw a Refusal `dockerfile.labels`. */
export interface LabelCount {
  /** Adds the labels with which a stage begins. */
  inherit(bytes: number): void;
  /** @param variables their values at this instruction */
  step(instruction: Instruction, variables: Variables): void;
}

/** Creates a count that does not distinguish stages: the labels of a stage also count in all later stages. */
export function labelCount(escape: EscapeToken): LabelCount {
  let labels = 0;
  let inherited = 0;
  let inSteps = 0;
  const refuse = (line: number, why: string): never => {
    throw dockerfileRefusal("dockerfile.labels", line, why);
  };
  const add = (instruction: Instruction, variables: Variables): void => {
    for (const [key, value] of pairs(instruction, escape)) {
      labels += Buffer.byteLength(key) + Buffer.byteLength(valueOf(instruction, value, variables));
      if (labels > MAX_LABELS) refuse(instruction.line, `labels may have ${MAX_LABELS} bytes here`);
    }
  };
  return {
    inherit: (bytes) => void (inherited += bytes),
    step(instruction, variables) {
      if (instruction.name === "LABEL") add(instruction, variables);
      inSteps += labels + inherited;
      if (inSteps > MAX_IN_STEPS) {
        refuse(instruction.line, `the labels of all steps together may have ${MAX_IN_STEPS} bytes here`);
      }
    },
  };
}

function valueOf({ line }: Instruction, value: string, variables: Variables): string {
  try {
    return variables.expand(value);
  } catch (error) {
    if (!(error instanceof ExpansionError)) throw error;
    throw dockerfileRefusal("dockerfile.labels", line, `the value of a label cannot be determined: ${error.message}`);
  }
}
