import type { ServerResponse } from "node:http";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { receiveImages } from "../../../src/several-images/receive-images.ts";
import { readPushRequest } from "../../../src/commands/push.ts";
import { CONVERSATIONS } from "../../../src/stdio-tunnel/constants.ts";
import { MORE_IMAGES } from "../../../src/conversation/features.ts";
import { digestOf } from "../../../src/image/digest.ts";
import { Failure } from "../../../src/output/errors.ts";
import type { TransferEvent } from "../../../src/output/events.ts";
import { outputTo } from "../../../src/output/output.ts";
import { newRunId } from "../../../src/run/run-id.ts";
import type { Conversation } from "../../../src/stdio-tunnel/conversation.ts";
import { runBothSides } from "../../../src/stdio-tunnel/in-process.ts";
import { abortable } from "../../../src/streams/abortable.ts";
import { deferred, type Deferred } from "../../../src/streams/deferred.ts";
import type { Connect } from "../../../src/transfer.ts";
import type { WatchSteps } from "../../../src/watch/watch.ts";
import { watchImages } from "../../../src/watch/watch-images.ts";
import { answer, fakeEngine, type FakeEngine } from "../engine/fake-engine.ts";

let engine: FakeEngine;
let image: object | undefined;
let listeners: ServerResponse[];
/** The engine begins to send events when this has resolved. */
let sendsEvents: Promise<void>;
let stop: AbortController;
/** The events and actions so far, one word each. */
let log: string[];
/** The failure of the next transfer at the receiver, or of the link. */
let failure: Failure | undefined;
let loseLink: (error: Failure) => void;
/** Resolves when the link or the engine of the first attempt is lost. */
let attemptEnded: Deferred<void>;

beforeEach(async () => {
  [listeners, log, failure, stop] = [[], [], undefined, new AbortController()];
  [sendsEvents, attemptEnded] = [Promise.resolve(), deferred<void>()];
  engine = await fakeEngine({
    "GET /events": async (_, response) => {
      await sendsEvents;
      response.writeHead(200).flushHeaders();
      listeners.push(response);
    },
    "GET /images/app:v1/json": (_, response) => answer(response, image === undefined ? 404 : 200, image ?? {}),
    "GET /version": (_, response) => answer(response, 200, { Version: "28.5.2", Os: "linux", Arch: "amd64" }),
    "GET /info": (_, response) => answer(response, 200, {}),
  });
  put("1");
});
afterEach(async () => {
  stop.abort(new Error("the test is over"));
  await engine[Symbol.asyncDispose]();
});

/** Moves the tag to another image, or removes it. */
function put(seed: string | undefined, architecture = "amd64"): void {
  const RootFS = { Layers: [digestOf(String(seed))] };
  image =
    seed === undefined ? undefined : { Id: digestOf(`image ${seed}`), Os: "linux", Architecture: architecture, RootFS };
  for (const response of listeners) response.write("{}\n{}\n");
}

/** Receives an image that is already present, like the far side. */
async function receive(conversation: Conversation): Promise<void> {
  if (failure !== undefined) {
    const error = failure;
    failure = undefined;
    throw error;
  }
  await conversation.send({ type: "ask", image: "app:v1", run: newRunId() });
  const { diffIds } = await conversation.next("about");
  await conversation.send({ type: "want", diffIds: [], whole: false, nothing: true });
  await conversation.next("offer");
  log.push(`received ${["1", "2", "3", "4"].find((seed) => digestOf(seed) === String(diffIds))}`);
  const counts = { layersSent: 0, layersPresent: 1, bytesPresent: 0, bytesReceived: 0 };
  await conversation.finish({ image: "app:v1", id: digestOf("there"), ...counts });
}

/** Connects to a far side with these features. */
function connectTo(features: string[]): Connect {
  return async (use, options) => {
    log.push("connected");
    options.signal.addEventListener("abort", () => attemptEnded.resolve());
    const lost = new Promise<never>((_, reject) => (loseLink = reject));
    lost.catch(() => {});
    let result: { value: Awaited<ReturnType<typeof use>> } | undefined;
    const receiver = async (tunnel: Parameters<typeof use>[0], signal: AbortSignal): Promise<void> => {
      if (features.length === 0) return await receive(tunnel);
      const receiveOne = async (conversation: Conversation): Promise<void> => await receive(conversation);
      const received = receiveImages(tunnel, { imagesFor: (named) => named, acceptsMore: true, receiveOne, signal });
      await Promise.race([received, lost]);
    };
    await runBothSides(
      {
        sender: async (tunnel, signal) => void (result = { value: await use(tunnel, signal, tunnel) }),
        receiver,
      },
      { tool: "0.1.0-test", features, signal: options.signal },
    );
    if (result === undefined) expect.fail("the sender has ended without a result");
    return result.value;
  };
}

/** Watches app:v1, and records the events. */
function watch(
  features = [CONVERSATIONS, MORE_IMAGES],
  afterwards: WatchSteps["afterwards"] = async () => {},
  given = "app:v1",
) {
  const endpoint = { host: `unix://${engine.socketPath}`, platform: [{ os: "linux", architecture: "amd64" }] };
  const connection = { kind: "engine", words: ["ssh", "far", "docker", "system", "dial-stdio"] } as const;
  const request = readPushRequest(given, connection, endpoint, {});
  const output = outputTo((event: TransferEvent) => {
    if (event.type === "note" || event.type === "error") log.push(event.code);
  });
  const context = { output, signal: stop.signal, env: {} };
  const steps = { connectTo: async () => await Promise.resolve(connectTo(features)), afterwards };
  const ended = watchImages({ connection, transfers: [request], watch: true }, context, steps);
  ended.catch(() => {});
  return {
    ended,
    /** Waits until exactly these events and actions have happened. */
    until: async (...words: string[]) =>
      await vi.waitFor(() => expect(log).toEqual(words), { timeout: 8_000, interval: 10 }),
    /** Stops the watch. Returns the reason with which it rejects. */
    end: async (): Promise<unknown> => {
      stop.abort("stopped");
      return await ended.catch((reason: unknown) => reason);
    },
  };
}

test("sends each image to which the tag moves, over one connection", async () => {
  const { until, end } = watch();
  const first = ["connected", "received 1", "watching"];
  await until(...first);
  put("1"); // the same again
  put("2");
  await until(...first, "received 2");
  put(undefined);
  put("3");
  await until(...first, "received 2", "received 3");
  expect(await end()).toBe("stopped");
  expect(log).toEqual([...first, "received 2", "received 3"]);
});

test("accepts an image with the prefix of its location", async () => {
  const { until, end } = watch(undefined, undefined, "docker-daemon:app:v1");
  await until("connected", "received 1", "watching");
  put("2");
  await until("connected", "received 1", "watching", "received 2");
  expect(await end()).toBe("stopped");
});

test("also sends the image of a tag that moves before the engine sends events", async () => {
  const telling = deferred<void>();
  sendsEvents = telling.promise;
  const { until, end } = watch();
  await until("connected", "received 1", "watching");
  put("2");
  telling.resolve();
  await until("connected", "received 1", "watching", "received 2");
  expect(await end()).toBe("stopped");
});

test("reports a transfer that fails, and continues to watch", async () => {
  const { until, end } = watch();
  await until("connected", "received 1", "watching");
  put("2", "arm64");
  await until("connected", "received 1", "watching", "image-not-found");
  failure = new Failure("no-space", "the disk there is full");
  put("3");
  await until("connected", "received 1", "watching", "image-not-found", "no-space");
  put("4");
  await until("connected", "received 1", "watching", "image-not-found", "no-space", "received 4");
  expect(await end()).toBe("stopped");
  expect(log.slice(3)).toEqual(["image-not-found", "no-space", "received 4"]); // neither is tried again automatically
});

test("opens a lost link again, and sends the image if the tag has moved in the meantime", async () => {
  const { until, end } = watch();
  const first = ["connected", "received 1", "watching"];
  await until(...first);
  loseLink(new Failure("link-lost", "the link is dead"));
  await until(...first, "connecting-in");
  put("2");
  await until(...first, "connecting-in", "connected", "received 2", "watching");
  expect(await end()).toBe("stopped");
});

test("sends nothing after a lost link if the tag has not moved; sends the image again after the loss of the receiver's engine", async () => {
  const { until, end } = watch();
  const first = ["connected", "received 1", "watching"];
  await until(...first);
  loseLink(new Failure("link-lost", "the link is dead"));
  const again = [...first, "connecting-in", "connected", "watching"];
  await until(...again);
  failure = new Failure("engine-unreachable", "the engine there is gone");
  put("2");
  await until(...again, "connecting-in", "connected", "received 2", "watching");
  expect(await end()).toBe("stopped");
});

test("treats the loss of the local engine like a lost link", async () => {
  const { until, end } = watch();
  await until("connected", "received 1", "watching");
  listeners[0]?.end();
  await until("connected", "received 1", "watching", "connecting-in", "connected", "watching");
  expect(await end()).toBe("stopped");
});

test("opens a connection for each transfer to an earlier version", async () => {
  const { until, end } = watch([]);
  const first = ["connected", "link-not-kept", "received 1", "watching"];
  await until(...first);
  failure = new Failure("no-space", "the disk there is full");
  put("2");
  await until(...first, "connected", "no-space");
  put("3");
  await until(...first, "connected", "no-space", "connected", "received 3");
  expect(await end()).toBe("stopped");
});

test("reports a command that fails after the transfer; the next transfer waits for its end", async () => {
  const command = deferred<void>();
  const { until, end } = watch(undefined, async () => {
    log.push("command");
    await command.promise;
  });
  await until("connected", "received 1", "command");
  put("2");
  put("3");
  command.reject(new Failure("run-failed", "the command has failed"));
  await until("connected", "received 1", "command", "run-failed", "received 3", "command", "run-failed", "watching");
  expect(await end()).toBe("stopped");
});

test("the command continues when the local engine is lost", async () => {
  const command = deferred<void>();
  const { until, end } = watch(undefined, async ({ signal }) => {
    log.push("command");
    await abortable(command.promise, signal);
    log.push("command has ended");
  });
  await until("connected", "received 1", "command");
  listeners[0]?.end();
  await attemptEnded.promise;
  command.resolve();
  await until("connected", "received 1", "command", "command has ended", "connecting-in", "connected", "watching");
  expect(await end()).toBe("stopped");
});

test("a failure ends the watch if nothing has been sent", async () => {
  put(undefined);
  await expect(watch().ended).rejects.toMatchObject({ code: "image-not-found" });
  put("1");
  failure = new Failure("engine-unreachable", "no engine there");
  await expect(watch().ended).rejects.toMatchObject({ code: "engine-unreachable" });
  expect(log).toEqual(["connected"]);
});
