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
/** The engine begins to tell events when this has resolved. */
let tellsEvents: Promise<void>;
let stop: AbortController;
/** What was told and done, in a word each. */
let log: string[];
/** Fails the next transfer there, or the link. */
let failure: Failure | undefined;
let loseLink: (error: Failure) => void;
/** Resolves when the link or the engine of the first attempt was lost. */
let attemptEnded: Deferred<void>;

beforeEach(async () => {
  [listeners, log, failure, stop] = [[], [], undefined, new AbortController()];
  [tellsEvents, attemptEnded] = [Promise.resolve(), deferred<void>()];
  engine = await fakeEngine({
    "GET /events": async (_, response) => {
      await tellsEvents;
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

/** Gives the tag to another image, or to none. */
function put(seed: string | undefined, architecture = "amd64"): void {
  const RootFS = { Layers: [digestOf(String(seed))] };
  image =
    seed === undefined ? undefined : { Id: digestOf(`image ${seed}`), Os: "linux", Architecture: architecture, RootFS };
  for (const response of listeners) response.write("{}\n{}\n");
}

/** Receives an image that is there already, as the far side does. */
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

/** Watches app:v1, and notes the events. */
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
    /** Waits until all of this was told and done. */
    until: async (...words: string[]) =>
      await vi.waitFor(() => expect(log).toEqual(words), { timeout: 8_000, interval: 10 }),
    /** Stops it. Returns the reason with which it has rejected. */
    end: async (): Promise<unknown> => {
      stop.abort("stopped");
      return await ended.catch((reason: unknown) => reason);
    },
  };
}

test("sends what the tag moves to, over one connection", async () => {
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

test("the image may be named with the prefix of its location", async () => {
  const { until, end } = watch(undefined, undefined, "docker-daemon:app:v1");
  await until("connected", "received 1", "watching");
  put("2");
  await until("connected", "received 1", "watching", "received 2");
  expect(await end()).toBe("stopped");
});

test("a tag that moves before the engine tells events is sent as well", async () => {
  const telling = deferred<void>();
  tellsEvents = telling.promise;
  const { until, end } = watch();
  await until("connected", "received 1", "watching");
  put("2");
  telling.resolve();
  await until("connected", "received 1", "watching", "received 2");
  expect(await end()).toBe("stopped");
});

test("a transfer that fails is told, and the watch goes on", async () => {
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
  expect(log.slice(3)).toEqual(["image-not-found", "no-space", "received 4"]); // none is tried again by itself
});

test("a link that is lost is opened again, and what has moved meanwhile is sent", async () => {
  const { until, end } = watch();
  const first = ["connected", "received 1", "watching"];
  await until(...first);
  loseLink(new Failure("link-lost", "the link is dead"));
  await until(...first, "connecting-in");
  put("2");
  await until(...first, "connecting-in", "connected", "received 2", "watching");
  expect(await end()).toBe("stopped");
});

test("after a lost link nothing is sent if nothing has moved; the loss of an engine there sends the image again", async () => {
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

test("the loss of the engine here is one as well", async () => {
  const { until, end } = watch();
  await until("connected", "received 1", "watching");
  listeners[0]?.end();
  await until("connected", "received 1", "watching", "connecting-in", "connected", "watching");
  expect(await end()).toBe("stopped");
});

test("an earlier version gets a connection for each transfer", async () => {
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

test("a command that fails afterwards is told; the next transfer waits for its end", async () => {
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

test("the command goes on when the engine here is lost", async () => {
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

test("before anything was sent, a failure ends it", async () => {
  put(undefined);
  await expect(watch().ended).rejects.toMatchObject({ code: "image-not-found" });
  put("1");
  failure = new Failure("engine-unreachable", "no engine there");
  await expect(watch().ended).rejects.toMatchObject({ code: "engine-unreachable" });
  expect(log).toEqual(["connected"]);
});
