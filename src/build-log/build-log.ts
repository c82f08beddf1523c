import type { BuildDisplay } from "../output/build-events.ts";
import { Failure } from "../output/errors.ts";
import type { Screen } from "../output/live-area.ts";
import { PlainLog } from "./plain-log.ts";
import { QuietLog } from "./quiet-log.ts";
import { TerminalLog } from "./terminal-log.ts";

/** The values of --progress. `auto` is `tty` on a terminal and `plain` elsewhere. `quiet` prints only why a build has failed. */
export const PROGRESS_MODES = ["auto", "plain", "tty", "quiet"] as const;
export type ProgressMode = (typeof PROGRESS_MODES)[number];

export interface BuildLogOptions {
  progress: ProgressMode;
  /** stderr */
  screen: Screen;
  /** The variables TERM, CI and NO_COLOR matter. */
  env: NodeJS.ProcessEnv;
  /** ms since 1970. Default: the clock */
  now?: () => number;
}

/**
 * Returns the display that shows the events of a build to people. It removes all control sequences from the output of steps, except
 * colours, which stay unless NO_COLOR is set (no-color.org).
 *
 * @throws Failure `usage` for `tty` without a terminal
 */
export function buildLog({ progress, screen, env, now = Date.now }: BuildLogOptions): BuildDisplay {
  const isDumb = env["TERM"] === "dumb";
  const options = { write: (text: string) => void screen.write(text), now, keepsColours: !env["NO_COLOR"] && !isDumb };
  if (progress === "tty" && (screen.isTTY !== true || isDumb)) {
    throw new Failure("usage", "--progress tty needs a terminal", {
      expected: "a terminal that can draw lines over (TERM is not dumb)",
      hint: "Use --progress plain, or omit it: the default depends on stderr.",
    });
  }
  if (progress === "quiet") return new QuietLog(options);
  const isDrawn = screen.isTTY === true && !isDumb && !env["CI"];
  return progress === "tty" || (progress === "auto" && isDrawn)
    ? new TerminalLog(screen, options)
    : new PlainLog(options);
}
