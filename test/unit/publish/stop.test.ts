import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { codesOf, FastClock, folder, logOf, runPublish } from "./run-publish.ts";
import { sendJson, StandIn } from "./stand-in.ts";

writeFileSync(join(folder, "Dockerfile"), "FROM scratch\n");

let server: StandIn;
beforeEach(async () => {
  server = await StandIn.start();
  return async () => await server[Symbol.asyncDispose]();
});

/** Aborts like main.ts. */
class Stopped extends Error {
  readonly signal: string;

  constructor(signal: string) {
    super(`stopped by ${signal}`);
    this.signal = signal;
  }
}

/** Publishes, and stops when the first line of the log has arrived. */
async function stopBy(signal: string, options: Partial<Parameters<typeof runPublish>[0]> = {}) {
  server.onAccepted = (build) => server.log(build, "a");
  const stop = new AbortController();
  const questions: string[] = [];
  const published = await runPublish({
    server: server.url,
    signal: stop.signal,
    onEvent: (event) => void (event.type === "build-text" && stop.abort(new Stopped(signal))),
    ...options,
    ...(options.ask && {
      ask: async (question) => {
        questions.push(question);
        return await options.ask?.(question);
      },
    }),
  });
  expect(published.error).toBe(stop.signal.reason);
  return { codes: codesOf(published), questions, published };
}

describe("while the build runs", () => {
  test.each([
    ["yes", "build-cancelled", 1],
    ["Y", "build-cancelled", 1],
    ["n", "build-left", 0],
    ["", "build-left", 0],
    [undefined, "build-left", 0],
  ])("Ctrl-C on a terminal asks; %j: %s", async (answer, code, cancelled) => {
    const { codes, questions, published } = await stopBy("SIGINT", {
      mayPrompt: true,
      ask: async () => answer,
    });
    expect(questions).toHaveLength(1);
    expect(codes.at(-1)).toBe(code);
    expect(server.builds[0]?.cancelled).toBe(cancelled);
    expect(logOf(published)).toEqual(["a"]);
  });

  test.each([
    ["SIGINT", false, 1],
    ["SIGTERM", true, 1],
    ["SIGTERM", false, 1],
    ["SIGHUP", true, 0],
    ["SIGHUP", false, 0],
  ])("%s, may ask: %s: does not ask, and cancels %d build", async (signal, mayPrompt, cancelled) => {
    const ask = async (): Promise<string> => await Promise.reject(new Error("asked"));
    await stopBy(signal, { mayPrompt, ask });
    expect(server.builds[0]?.cancelled).toBe(cancelled);
  });

  test("reports a failed cancellation", async () => {
    server.hooks.push((request, response) => {
      if (request.url?.endsWith("/cancel") !== true) return false;
      sendJson(response, 503, { detail: "no store" });
      return true;
    });
    const { published } = await stopBy("SIGTERM");
    expect(published.events.at(-1)).toMatchObject({
      code: "build-not-cancelled",
      error: expect.stringContaining("no store") as string,
    });
  });

  test("also stops a wait for the next attempt", async () => {
    server.cuts.push(0);
    server.onAccepted = (build) => server.log(build, "a");
    const [stop, clock] = [new AbortController(), new FastClock()];
    clock.onPause = async () => stop.abort(new Stopped("SIGTERM"));
    const { error } = await runPublish({ server: server.url, signal: stop.signal, clock });
    expect(error).toBe(stop.signal.reason);
    expect(clock.pauses).toHaveLength(1);
    expect(server.builds[0]?.cancelled).toBe(1);
  });
});

describe("while files are sent", () => {
  test("the server gets no build", async () => {
    const stop = new AbortController();
    server.hooks.push((request) => {
      if (request.method !== "POST") return false;
      stop.abort(new Stopped("SIGTERM"));
      return true;
    });
    const { error } = await runPublish({ server: server.url, signal: stop.signal });
    expect(error).toBe(stop.signal.reason);
    expect(server.builds).toEqual([]);
  });

  test("cancels a build whose files have arrived as soon as the server has returned its ID", async () => {
    const stop = new AbortController();
    server.onAccepted = () => stop.abort(new Stopped("SIGTERM"));
    const { error } = await runPublish({ server: server.url, signal: stop.signal });
    expect(error).toBe(stop.signal.reason);
    expect(server.builds[0]?.cancelled).toBe(1);
  });
});
