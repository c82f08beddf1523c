import { dockerfileRefusal } from "./dockerfile-error.ts";
import type { Instruction } from "./instruction.ts";
import { SPACE } from "./logical-lines.ts";

/** Instructions after which an engine looks for here-documents */
const TAKES_HEREDOCS: ReadonlySet<string> = new Set(["ADD", "COPY", "RUN", "ONBUILD"]);
/** Matches the operator at the beginning of a word. Engines require a name in the same word. */
const BEGINS_WORD = new RegExp(`(?:^|${SPACE})\\d*<<(?!<|-?(?:${SPACE}|$))`);
const QUOTED = /\\.|'[^']*'|"(?:\\.|[^"\\])*"/gsu;

/**
 * Returns whether an engine may find a here-document in an instruction. Docker 23 and later treat the lines after it as its content, even where a shell would
 * not (`$((1 <<2))`), and ignore the content. Docker 20.10 does not know here-documents. Errs on the safe side.
 *
 * @param line the whole instruction, e.g. `RUN cat <<EOF`
 */
function mayHaveHeredoc(line: string): boolean {
  if (!line.includes("<<")) return false;
  // In braces, quotes follow different rules, and the text before them may be dropped.
  if (line.includes("${")) return line.replaceAll("<<<", "").includes("<<");
  return BEGINS_WORD.test(line.replaceAll(QUOTED, "Q"));
}

/** Refuses an instruction in which an engine may find a here-document, because the engine would treat the lines after it as content, not as instructions. */
export function refuseHeredoc({ name, rest, line }: Instruction): void {
  if (!TAKES_HEREDOCS.has(name)) return;
  if (!mayHaveHeredoc(`${name} ${rest}`)) return;
  throw dockerfileRefusal(
    "dockerfile.heredoc",
    line,
    "here-documents (<<) need BuildKit: build with it, or put the text into a file of the context",
  );
}
