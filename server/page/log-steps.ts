/**
 * Groups the lines of a log by the steps of the build, as docker's plain progress numbers them: `#5 [2/4] RUN make`, `#5 0.312 text`, `#5 DONE 0.4s`. Lines
 * of steps that run at the same time are mixed there, and together here.
 */
export interface LogEntry {
  /** Seconds since the step began, as the log has them */
  time?: string | undefined;
  text: string;
  /** It says why the step has failed. */
  isError?: boolean;
}

export type StepState = "running" | "done" | "cached" | "failed" | "cancelled";

/** A step, or lines between steps: these have no number. */
export interface LogGroup {
  number?: number | undefined;
  name: string;
  state: StepState;
  /** How long it took, as the log has it: `0.4s` */
  took?: string | undefined;
  entries: LogEntry[];
}

/** Steps and texts between them that a log may have. What comes after them is one text: a log is what others have printed. */
const MOST_GROUPS = 2_000;

/** What a line was added to, and whether the head of it has changed. */
export interface Added {
  group: LogGroup;
  isNew: boolean;
}

export class LogSteps {
  readonly groups: LogGroup[] = [];
  readonly #byNumber = new Map<number, LogGroup>();
  /** An empty line that is shown only if text follows it: in front of a step it is a separator. */
  #hasBlank = false;

  /** Adds a line. Returns what it belongs to; undefined where it says nothing, e.g. a step's name once more. */
  add(line: string): Added | undefined {
    const [, digits, rest] = /^#(\d{1,9}) (.*)$/su.exec(line) ?? [];
    if (digits === undefined || rest === undefined) return this.#addText(line);
    this.#hasBlank = false;
    const number = Number(digits);
    const known = this.#byNumber.get(number);
    if (known === undefined)
      return this.groups.length < MOST_GROUPS ? this.#addStep(number, rest) : this.#addText(line);
    return addToStep(known, rest) ? { group: known, isNew: false } : undefined;
  }

  /** Ends the steps that the log says nothing more of. */
  end(hasFailed: boolean): void {
    for (const group of this.groups) {
      if (group.state === "running") group.state = hasFailed ? "cancelled" : "done";
    }
  }

  #addStep(number: number, name: string): Added {
    const group: LogGroup = { number, name, state: "running", entries: [] };
    this.#byNumber.set(number, group);
    this.groups.push(group);
    return { group, isNew: true };
  }

  #addText(text: string): Added | undefined {
    const last = this.groups.at(-1);
    const isStep = last === undefined || last.number !== undefined;
    if (text === "") {
      this.#hasBlank = !isStep;
      return undefined;
    }
    const group: LogGroup = isStep ? { name: "", state: "done", entries: [] } : last;
    if (isStep) this.groups.push(group);
    else if (this.#hasBlank) group.entries.push({ text: "" });
    this.#hasBlank = false;
    group.entries.push({ text });
    return { group, isNew: isStep };
  }
}

/** Returns whether it tells anything. */
function addToStep(group: LogGroup, rest: string): boolean {
  if (rest === group.name) return false;
  const [, took] = /^DONE (\d+\.\d+s)$/.exec(rest) ?? [];
  if (took !== undefined) Object.assign(group, { state: "done", took });
  else if (rest === "CACHED") group.state = "cached";
  else if (rest === "CANCELED") group.state = "cancelled";
  else if (rest.startsWith("ERROR: ")) {
    group.state = "failed";
    group.entries.push({ text: rest, isError: true });
  } else {
    const [, time, text] = /^(\d+\.\d+) (.*)$/su.exec(rest) ?? [];
    group.entries.push(text === undefined ? { text: rest } : { time, text });
    // A step may go on, e.g. a push of several layers.
    if (group.state !== "failed") group.state = "running";
  }
  return true;
}
