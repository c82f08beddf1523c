import { questionsOver } from "./build/questions.ts";
import { LogSender } from "./build/log-stream.ts";
import { publishBuilt } from "./build/publish-built.ts";
import { receiveFiles } from "./build/receive-files.ts";
import type { BuildContext } from "./build-context/build-context.ts";
import {
  builderMessage,
  builtMessage,
  checkedMessage,
  CONTEXT_SERVICE,
  parseBuildMessage,
  type BuildMessage,
} from "./conversation/build-messages.ts";
import { BUILDS } from "./conversation/features.ts";
import { LOOK_UP_TIMEOUT, nextMessage } from "./conversation/next-message.ts";
import { sendImage } from "./several-images/send-images.ts";
import type { BuildEvent } from "./engine/engine-builder.ts";
import type { Engine } from "./engine/engine.ts";
import { formatPlatform } from "./image/platform.ts";
import { openEngine } from "./locations/locations.ts";
import { Failure } from "./output/errors.ts";
import { send } from "./push.ts";
import type { PushRequest, SharedRequest } from "./request.ts";
import { engineSource } from "./send/from-engine/engine-source.ts";
import type { Message } from "./stdio-tunnel/control.ts";
import { acceptConversations } from "./stdio-tunnel/conversations.ts";
import type { Tunnel } from "./stdio-tunnel/session.ts";
import { abortable } from "./streams/abortable.ts";
import { deferred } from "./streams/deferred.ts";
import type { Duplex } from "node:stream";
import { connectByCommand, connectEarly, type Context, type Use } from "./transfer.ts";

/** Builds for the initiator at the other end of stdin and stdout, with the engine of this side. */
export async function serveBuild(request: PushRequest, context: Context): Promise<void> {
  await using location = openEngine(request, context);
  const connect = connectByCommand(request, context);
  const use: Use<void> = async (tunnel, stop) => {
    const engine = await abortable(location.opened, stop);
    await buildWithEngine(tunnel, engine, request, { ...context, signal: stop });
  };
  await connectEarly(connect, Promise.resolve(), context.signal, use, { features: [BUILDS] });
}

/**
 * Runs the builder's side: receives the files, lets the engine build them or check their Dockerfile, sends the engine's output, and sends the image
 * to an initiator that wants it. Rejects with a Failure, or with the signal's reason, and stops the engine's build.
 *
 * @param handedOver the files, if the initiator is in the same process. The initiator owns them
 */
export async function buildWithEngine(
  tunnel: Tunnel,
  engine: Engine,
  request: SharedRequest,
  context: Context,
  handedOver?: BuildContext,
): Promise<void> {
  const { timeout = LOOK_UP_TIMEOUT } = request;
  const { signal } = context;
  const received = nextMessage(tunnel, "build", { timeout, what: "order of a build", stop: signal });
  const task = parseBuildMessage(await received);
  {
    using _ = tunnel.rest(); // a step may be silent for hours
    await tunnel.send(await carryOut({ tunnel, engine, task, context, handedOver }));
  }
  for await (const conversation of acceptConversations(tunnel, 1)) {
    await sendImage(tunnel, conversation, {
      timeout: request.timeout,
      signal,
      async sendOne(imageConversation, ask, stop) {
        if (ask.image === undefined) throw new Failure("usage", "no image is named", { expected: "the built image" });
        await send(
          imageConversation,
          engineSource(engine, { kind: "embedded" }, ask.image),
          request,
          { ...context, signal: stop },
          ask,
        );
      },
    });
  }
}

interface Work {
  tunnel: Tunnel;
  engine: Engine;
  task: BuildMessage;
  context: Context;
  handedOver: BuildContext | undefined;
}

/** Returns the message with the outcome. */
async function carryOut(work: Work): Promise<Message> {
  const { tunnel, engine, task, context } = work;
  const log = new LogSender(tunnel);
  const answers = questionsOver(tunnel);
  const stream = deferred<Duplex>();
  tunnel.listen(CONTEXT_SERVICE, (opened) => stream.resolve(opened));
  const [kind, info] = await Promise.all([engine.builder(), engine.info()]);
  await tunnel.send(builderMessage({ kind, version: info.version, platform: formatPlatform(info.platform) }));
  const clock = new Clock();
  await using received = task.sendsContext
    ? await receiveFiles(await abortable(stream.promise, context.signal), task.order.contextKey, context)
    : undefined;
  const files = received ?? work.handedOver;
  if (files === undefined && task.order.git === undefined) throw noFiles();
  const contextTime = clock.lap();
  const options = { answers, signal: context.signal, onEvent: (event: BuildEvent) => log.send(event) };
  try {
    if (task.goal.kind === "check") return checkedMessage(await engine.check(task.order, files, options));
    const image = await engine.build(task.order, files, options);
    const buildTime = clock.lap();
    const pushed = task.goal.push ? await publishBuilt(engine, task.order.names, options) : [];
    const size = (await engine.inspectImage(image.id))?.size ?? 0;
    const times = { context: contextTime, build: buildTime, push: clock.lap() };
    return builtMessage({ id: image.id, pushed, size, times });
  } finally {
    await log.end(); // the output of the failed step must precede the failure
  }
}

function noFiles(): Failure {
  return new Failure("context-invalid", "the builder has received neither files nor the address of a repository", {
    expected: "a context",
  });
}

/** Measures the durations of phases, ms. */
class Clock {
  #last = performance.now();

  lap(): number {
    const now = performance.now();
    const ms = Math.round(now - this.#last);
    this.#last = now;
    return ms;
  }
}
