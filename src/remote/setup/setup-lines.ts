import { parseSetupStep, type SetupStep } from "../../output/setup-steps.ts";
import { parseRemoteLine, type RemoteLine } from "../script/remote-lines.ts";

/** Why nothing can be installed; `about` is the file or folder, or the system's message. */
export const INSTALL_PROBLEMS = [
  /** The user has no home folder. */
  "no-home",
  /** A folder is a link, is not a folder, or belongs to another user, or other users may write to it. */
  "link",
  "no-folder",
  "not-own",
  "open-to-others",
  /** The same, in the words of the check. */
  "unsafe",
  /** A launcher that setup has not written. */
  "foreign",
  "no-permission",
  "no-space",
  /** The docker-over-ssh that arrived is damaged. */
  "damaged",
  /** The launcher cannot be run. */
  "not-runnable",
  "error",
] as const;
export type InstallProblem = (typeof INSTALL_PROBLEMS)[number];

/** The lines that the installer and the uninstall script write to stdout for the initiator. */
export type SetupLine =
  | RemoteLine
  | { kind: "step"; step: SetupStep }
  | { kind: "not-installed"; problem: InstallProblem; about: string }
  /** Asks whether these transfers of another machine are over. The script waits for an answer: `over`, or any other word. */
  | { kind: "ask"; runIds: readonly string[] }
  /** The size of the file or folder that is removed next. */
  | { kind: "freed"; bytes: number }
  /** The remote engine does not answer this program. */
  | { kind: "no-engine"; program: string }
  /** The script is complete. `isInPath`: a non-login shell finds the launcher. */
  | { kind: "done"; isInPath: boolean };

/** Parses the words after a marker; returns undefined for any other line. */
export function parseSetupLine(words: string): SetupLine | undefined {
  const [kind = "", first = "", ...more] = words.split(" ");
  switch (kind) {
    case "step": {
      const step = parseSetupStep(words.slice("step ".length));
      return step && { kind, step };
    }
    case "not-installed": {
      const problem = INSTALL_PROBLEMS.find((known) => known === first);
      return problem && { kind, problem, about: more.join(" ") };
    }
    case "ask":
      return { kind, runIds: first.split(".") };
    case "freed":
      return { kind, bytes: /^\d{1,12}$/.test(first) ? Number(first) * 1024 : 0 };
    case "no-engine":
      return { kind, program: first };
    case "done":
      return { kind, isInPath: first === "in-path" };
    default:
      return parseRemoteLine(words);
  }
}
