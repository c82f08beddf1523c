import type { Progress, TransferName } from "./events.ts";
import { LiveArea, type Screen } from "./live-area.ts";
import { logLine, progressLines, type ShownProgress } from "./draw-progress.ts";
import { TrackedProgress } from "./tracked-progress.ts";

/** ms between two drawings on a terminal. */
const REDRAW = 100;
/** ms between two lines of a transfer in a log; the second one while no progress is reported, e.g. by an engine that loads. */
const LOG_EVERY = 3_000;
const LOG_SILENT_EVERY = 15_000;
/** ms between two drawings while no progress is reported: rate and time still change. */
const TICK = 1_000;

interface Shown {
  name: TransferName;
  tracked: TrackedProgress;
  /** Time of its last drawing, or of its last line in the log. */
  at: number;
  readonly stages: Set<string>;
}

/**
 * Shows the progress of transfers. On a terminal it redraws lines in place. Elsewhere, e.g. in the log of a CI job or with TERM=dumb, it prints
 * a line every few seconds for each transfer.
 */
export class ProgressDisplay {
  readonly #screen: Screen;
  readonly #now: () => number;
  #ticks: NodeJS.Timeout | undefined;
  readonly #area: LiveArea | undefined;
  readonly #shown = new Map<string, Shown>();
  /** Hosts with a login in progress, which may ask for a password on the terminal. */
  readonly #logins = new Set<string>();
  #drawnAt = -Infinity;
  /** Images and hosts of all transfers that were shown: if there are several, each line names its own. */
  readonly #images = new Set<string | undefined>();
  readonly #hosts = new Set<string | undefined>();
  readonly #namesHosts: boolean;

  /** @param namesHosts hosts are named from the first line on */
  constructor(screen: Screen, now: () => number, term: string | undefined, namesHosts = false) {
    this.#namesHosts = namesHosts;
    this.#screen = screen;
    this.#now = now;
    if (screen.isTTY !== true || term === "dumb") return;
    this.#area = new LiveArea(screen);
    screen.on?.("resize", () => this.#area?.isDrawn && this.#draw());
  }

  update(progress: Progress, transfer: TransferName = {}): void {
    const [key, now] = [keyOf(transfer), this.#now()];
    const shown = this.#shown.get(key) ?? this.#add(key, transfer, progress, now);
    shown.tracked.update(progress, now);
    // A new stage is shown at once. A peer that alternates between stages does not make lines appear more often.
    const isNew = !shown.stages.has(progress.stage);
    shown.stages.add(progress.stage);
    if (this.#area !== undefined) {
      if (isNew || now - this.#drawnAt >= REDRAW) this.#draw();
    } else if (isNew || now - shown.at >= LOG_EVERY) this.#log(shown, now);
  }

  /** Updates rate and time although no progress may have been reported for a while. */
  tick(): void {
    const now = this.#now();
    if (this.#area !== undefined && now - this.#drawnAt >= TICK) this.#draw();
    if (this.#area !== undefined) return;
    for (const shown of this.#shown.values()) if (now - shown.at >= LOG_SILENT_EVERY) this.#log(shown, now);
  }

  #log(shown: Shown, now: number): void {
    shown.at = now;
    this.#screen.write(`${logLine(this.#lineOf(shown, now))}\n`);
  }

  #add(key: string, name: TransferName, progress: Progress, now: number): Shown {
    const shown = { name, tracked: new TrackedProgress(progress, now), at: now, stages: new Set<string>() };
    this.#shown.set(key, shown);
    this.#ticks ??= setInterval(() => this.tick(), TICK).unref();
    this.#images.add(name.image);
    this.#hosts.add(name.host);
    return shown;
  }

  /** Runs `print`, which writes permanent lines, above those of the progress. */
  above(print: () => void): void {
    const isDrawn = this.#area?.isDrawn === true;
    this.#area?.clear();
    print();
    if (isDrawn) this.#draw();
  }

  /** Stops drawing until the login is over, because the lines would overwrite its question. */
  login(transfer: TransferName | undefined): void {
    this.#logins.add(transfer?.host ?? "");
    this.#area?.clear();
  }

  loggedIn(transfer: TransferName | undefined): void {
    this.#logins.delete(transfer?.host ?? "");
  }

  /** Removes a transfer that is over. */
  remove(transfer: TransferName | undefined): void {
    this.#shown.delete(keyOf(transfer));
    this.loggedIn(transfer);
    if (this.#shown.size === 0) this.close();
  }

  /** Removes all transfers of a host whose link was lost. */
  linkLost(transfer: TransferName | undefined): void {
    for (const { name } of this.#shown.values()) if (name.host === transfer?.host) this.remove(name);
    this.loggedIn(transfer);
  }

  /** Removes all transfers. */
  close(): void {
    clearInterval(this.#ticks);
    this.#ticks = undefined;
    this.#shown.clear();
    this.#area?.clear();
  }

  #draw(): void {
    if (this.#area === undefined || this.#logins.size > 0 || this.#shown.size === 0) return;
    const now = this.#now();
    const lines = [...this.#shown.values()].map((shown) => this.#lineOf(shown, now));
    this.#area.draw(progressLines(lines, this.#area.columns, this.#area.rows));
    this.#drawnAt = now;
  }

  #lineOf({ name: { image, host }, tracked }: Shown, now: number): ShownProgress {
    // Omit a name that all lines share. The log of a single transfer has its name in other lines.
    const namesHost = this.#namesHosts || this.#hosts.size > 1;
    const several = [this.#images.size > 1 ? image : undefined, namesHost ? host : undefined];
    const isOne = this.#images.size <= 1 && !namesHost;
    const name = isOne && this.#area !== undefined ? [image] : several;
    return {
      name: name.filter((part) => part !== undefined).join(" "),
      progress: tracked.last,
      rate: tracked.rate(now),
      elapsed: tracked.elapsed(now),
    };
  }
}

function keyOf({ host, image }: TransferName = {}): string {
  return JSON.stringify([host, image]);
}
