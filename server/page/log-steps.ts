/**
 * Groups the lines of a log by the steps of the build, in the numbering of docker's plain progress: `#5 [2/4] RUN
 * make`, `#5 0.312 text`, `#5 DONE 0.4s`. The log mixes lines of simultaneous steps; a group collects the lines of one.
 */
export interface LogEntry {
  /** Seconds since the step began, as the log prints them */
  time?: string | undefined;
  text: string;
  /** Whether the line reports why the step has failed. */
  isError?: boolean;
}

export type StepState = "running" | "done" | "cached" | "failed" | "cancelled";

/** A step, or lines between steps, which have no number. */
export interface LogGroup {
  number?: number | undefined;
  name: string;
  state: StepState;
  /** Duration as the log prints it: `0.4s` */
  took?: string | undefined;
  entries: LogEntry[];
}

/** Maximum number of groups of a log. Later lines form one text, because a log may contain arbitrary output. */
const MOST_GROUPS = 2_000;

/** The group to which a line was added, and whether its head has changed. */
export interface Added {
  group: LogGroup;
  isNew: boolean;
}

export class LogSteps {
  readonly groups: LogGroup[] = [];
  readonly #byNumber = new Map<number, LogGroup>();
  /** An empty line, which is shown only if text follows it: before a step it is a separator. */
  #hasBlank = false;

  /** Adds a line. Returns its group; undefined for a line without new information, e.g. a repeated name of a step. */
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

  /** Ends the steps whose end the log does not report. */
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

/** Returns whether the line contains new information. */
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
    // A step may continue, e.g. a push of several layers.
    if (group.state !== "failed") group.state = "running";
  }
  return true;
}
