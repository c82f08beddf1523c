import type { BuildDisplay } from "../output/build-events.ts";
import { Failure } from "../output/errors.ts";
import type { Screen } from "../output/live-area.ts";
import { PlainLog } from "./plain-log.ts";
import { QuietLog } from "./quiet-log.ts";
import { TerminalLog } from "./terminal-log.ts";

/** --progress. `auto`: as `tty` on a terminal, else as `plain`. `quiet`: only why a build has failed. */
export const PROGRESS_MODES = ["auto", "plain", "tty", "quiet"] as const;
export type ProgressMode = (typeof PROGRESS_MODES)[number];

export interface BuildLogOptions {
  progress: ProgressMode;
  /** stderr */
  screen: Screen;
  /** TERM, CI and NO_COLOR are read. */
  env: NodeJS.ProcessEnv;
  /** ms since 1970. Left out: the clock */
  now?: () => number;
}

/**
 * Returns what shows the events of a build to people. Whatever steps print is cleaned: nothing of it steers the terminal, only colours stay
 * (without NO_COLOR, no-color.org).
 *
 * @throws Failure `usage` for `tty` without a terminal
 */
export function buildLog({ progress, screen, env, now = Date.now }: BuildLogOptions): BuildDisplay {
  const isDumb = env["TERM"] === "dumb";
  const options = { write: (text: string) => void screen.write(text), now, keepsColours: !env["NO_COLOR"] && !isDumb };
  if (progress === "tty" && (screen.isTTY !== true || isDumb)) {
    throw new Failure("usage", "--progress tty needs a terminal", {
      expected: "a terminal that can draw lines over (TERM is not dumb)",
      hint: "Use --progress plain, or leave it out: it is chosen by what stderr is.",
    });
  }
  if (progress === "quiet") return new QuietLog(options);
  const isDrawn = screen.isTTY === true && !isDumb && !env["CI"];
  return progress === "tty" || (progress === "auto" && isDrawn)
    ? new TerminalLog(screen, options)
    : new PlainLog(options);
}
