import { dockerfileRefusal } from "./dockerfile-error.ts";
import type { Instruction } from "./instruction.ts";
import { SPACE } from "./logical-lines.ts";

/** Instructions after which an engine looks for one */
const TAKES_HEREDOCS: ReadonlySet<string> = new Set(["ADD", "COPY", "RUN", "ONBUILD"]);
/** At the beginning of a word as engines split it. Without a name in the same word, it is none. */
const BEGINS_WORD = new RegExp(`(?:^|${SPACE})\\d*<<(?!<|-?(?:${SPACE}|$))`);
const QUOTED = /\\.|'[^']*'|"(?:\\.|[^"\\])*"/gsu;

/**
 * Whether an engine may read a here-document in an instruction: Docker 23 and later take the lines after it for its content, also where a shell would
 * not (`$((1 <<2))`), and then ignore it; Docker 20.10 does not know them. Errs on the safe side.
 *
 * @param line the whole instruction, e.g. `RUN cat <<EOF`
 */
function mayHaveHeredoc(line: string): boolean {
  if (!line.includes("<<")) return false;
  // In braces, quotes have other rules, and what is before them may be dropped.
  if (line.includes("${")) return line.replaceAll("<<<", "").includes("<<");
  return BEGINS_WORD.test(line.replaceAll(QUOTED, "Q"));
}

/** Refuses what an engine may take for a here-document: the lines after it would be its content, and not instructions. */
export function refuseHeredoc({ name, rest, line }: Instruction): void {
  if (!TAKES_HEREDOCS.has(name)) return;
  if (!mayHaveHeredoc(`${name} ${rest}`)) return;
  throw dockerfileRefusal(
    "dockerfile.heredoc",
    line,
    "here-documents (<<) need BuildKit: build with it, or put the text into a file of the context",
  );
}
