import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { readPublishRequest } from "../../../src/commands/options/read-publish.ts";
import type { PublishOptionValues } from "../../../src/commands/options/publish-options.ts";
import type { TransferEvent } from "../../../src/output/events.ts";
import { outputTo } from "../../../src/output/output.ts";
import type { Clock } from "../../../src/publish/retry-while-away.ts";
import { publish, type PublishTools } from "../../../src/publish/publish.ts";

/** A temporary folder for the test file that imports this module */
export const folder = mkdtempSync(join(tmpdir(), "publish-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A clock on which pauses take no time. */
export class FastClock implements Clock {
  /** ms */
  readonly pauses: number[] = [];
  /** Called in each pause */
  onPause: () => Promise<void> = async () => {};
  #now = 0;

  now(): number {
    return this.#now;
  }

  async pause(ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.pauses.push(ms);
    this.#now += ms;
    await this.onPause();
    signal.throwIfAborted();
  }
}

export interface Published {
  events: TransferEvent[];
  /** The output on stdout */
  printed: string;
  clock: FastClock;
  /** The thrown error */
  error: unknown;
}

interface Options extends PublishOptionValues, Pick<PublishTools, "ask"> {
  name?: string;
  context?: string;
  env?: NodeJS.ProcessEnv;
  signal?: AbortSignal;
  clock?: FastClock;
  onEvent?: (event: TransferEvent) => void;
}

/** Runs `publish` in this process. It does not find the credentials of the user who runs the test. */
export async function runPublish({
  name = "team/app:v2",
  context = folder,
  env = {},
  signal = new AbortController().signal,
  clock = new FastClock(),
  onEvent = () => {},
  ask,
  ...options
}: Options): Promise<Published> {
  const surroundings = { HOME: folder, XDG_CACHE_HOME: join(folder, "cache"), ...env };
  const published: Published = { events: [], printed: "", clock, error: undefined };
  const output = outputTo((event) => {
    published.events.push(event);
    onEvent(event);
  });
  try {
    const request = readPublishRequest(name, context, options, surroundings);
    const print = (text: string): void => void (published.printed += text);
    await publish(request, { output, signal, env: surroundings }, { clock, ask, print });
  } catch (error) {
    published.error = error;
  }
  return published;
}

/** Returns the printed lines of the log. */
export function logOf({ events }: Published): string[] {
  return events.flatMap((event) => (event.type === "build-text" ? [event.text.trimEnd()] : []));
}

/** Returns the codes of notes and warnings. */
export function codesOf({ events }: Published): string[] {
  return events.flatMap((event) => (event.type === "note" || event.type === "warning" ? [event.code] : []));
}
