import { answerQuestions } from "./build/questions.ts";
import { receiveLog } from "./build/log-stream.ts";
import { answersFor } from "./build/answers.ts";
import type { OpenedContext } from "./build-context/local-files.ts";
import { filesOfCheck, keyOfCheck } from "./build/files-of-check.ts";
import { sendFiles } from "./build/send-files.ts";
import {
  buildMessage,
  CONTEXT_SERVICE,
  parseBuilder,
  parseBuilt,
  parseChecked,
  type BuilderMessage,
  type BuiltMessage,
} from "./conversation/build-messages.ts";
import { BUILDS } from "./conversation/features.ts";
import { LOOK_UP_TIMEOUT, nextMessage } from "./conversation/next-message.ts";
import type { BuildAnswers, BuildEvent, CheckedBuild } from "./engine/engine-builder.ts";
import { parseImageName } from "./image/image-name.ts";
import { openTarget } from "./locations/locations.ts";
import { Failure } from "./output/errors.ts";
import type { TransferResult } from "./output/events.ts";
import { receiveOver } from "./pull.ts";
import type { Target } from "./receive/target.ts";
import type { BuildRequest } from "./request.ts";
import type { Message } from "./stdio-tunnel/control.ts";
import { ConversationOpener } from "./stdio-tunnel/conversations.ts";
import { useTunnel } from "./stdio-tunnel/open.ts";
import type { Tunnel } from "./stdio-tunnel/session.ts";
import { abortable } from "./streams/abortable.ts";
import { explainError } from "./explain-error.ts";
import { DividedTraffic, type Traffic } from "./traffic.ts";
import { connectEarly, failureForPeer, type Connect, type Context } from "./transfer.ts";

export interface BuildObserver {
  onEvent: (event: BuildEvent) => void;
  /** Called before the image is brought back, with its ID on the remote side. */
  onBuilt: (id: string) => void;
  /** Called when a build fails; `files` if they are open. */
  onFailed: (error: unknown, files: OpenedContext | undefined) => Promise<void>;
}

/** The result of a build. */
export interface FinishedBuild {
  builder: BuilderMessage;
  built: BuiltMessage;
  /** With `isBroughtBack`: the transfer of the image */
  received?: TransferResult | undefined;
  /** Bytes sent through the connection to the remote side for the context */
  contextBytes: number;
  /** Duration of the whole build, ms */
  ms: number;
}

/**
 * Builds an image on the remote side: sends the files, shows the log, answers the builder's questions, and receives the image if requested. Rejects
 * with a Failure, or with the signal's reason, and stops the remote build. The caller opens the files and disposes of them.
 *
 * @param observer receives the events of the build, and is called when the image is built
 */
export async function build(
  request: BuildRequest,
  context: Context,
  connect: Connect,
  { onEvent, onBuilt }: Pick<BuildObserver, "onEvent" | "onBuilt">,
): Promise<FinishedBuild> {
  const started = performance.now();
  const { build: task } = request;
  await using location =
    task.goal.kind === "image" && task.goal.isBroughtBack ? openTarget(request, context) : undefined;
  // The folder is scanned during the login. Nothing is sent before the scan is over and the engine of this side has answered.
  const ready = Promise.all([task.opened, answersFor(task, context), location?.opened]);
  ready.catch(() => {});
  const use = async (tunnel: Tunnel, stop: AbortSignal, traffic: Traffic): Promise<FinishedBuild> => {
    const [opened, answers, target] = await abortable(ready, stop);
    const ownContext = { ...context, signal: stop };
    const outcome = requestBuild(tunnel, opened, request, ownContext, { answers, traffic, onEvent });
    const { builder, contextBytes, ...reply } = await outcome;
    const built = parseBuilt(reply.message);
    onBuilt(built.id);
    const received = target && (await bringBack(tunnel, target, built, request, ownContext, traffic));
    if (!(await tunnel.finish({}))) context.output.warn({ code: "sender-not-notified" });
    return { builder, built, received, contextBytes, ms: performance.now() - started };
  };
  return await connectEarly(connect, ready, context.signal, use, { features: [BUILDS] });
}

/**
 * Lets the remote side check a Dockerfile without building it. Sends only the files that a check reads. Rejects like {@link build}, and
 * with `usage` if the remote builder does not support checks.
 */
export async function check(request: BuildRequest, context: Context, connect: Connect): Promise<CheckedBuild> {
  const { build: task } = request;
  const ready = Promise.all([task.opened, answersFor(task, context)]);
  ready.catch(() => {});
  const use = async (tunnel: Tunnel, stop: AbortSignal, traffic: Traffic): Promise<CheckedBuild> => {
    const [opened, answers] = await abortable(ready, stop);
    const files = opened && filesOfCheck(opened);
    const ownContext = { ...context, signal: stop };
    const { message } = await requestBuild(tunnel, files, request, ownContext, {
      answers,
      traffic,
      onEvent() {},
    });
    const checked = parseChecked(message);
    if (!(await tunnel.finish({}))) context.output.warn({ code: "sender-not-notified" });
    return checked;
  };
  return await connectEarly(connect, ready, context.signal, use, { features: [BUILDS] });
}

interface OrderOptions {
  answers: BuildAnswers;
  traffic: Traffic;
  onEvent: (event: BuildEvent) => void;
}

/** Sends the order and the context, and passes on the events of the build until it is done. */
async function requestBuild(
  tunnel: Tunnel,
  files: OpenedContext | undefined,
  { build: { order: given, goal }, timeout = LOOK_UP_TIMEOUT }: BuildRequest,
  { output, signal, env }: Context,
  { answers, traffic, onEvent }: OrderOptions,
): Promise<Pick<FinishedBuild, "builder" | "contextBytes"> & { message: Message }> {
  if (!tunnel.peer.features.includes(BUILDS)) throw cannotBuild(tunnel.peer.tool);
  using _ = tunnel.rest(); // a step may be silent for hours
  answerQuestions(tunnel, answers, (registry) => output.note({ code: "credentials-sent", registry }));
  // With an engine alone, both sides are in this process.
  const sendsContext = files !== undefined && traffic.program !== "engine";
  const contextKey = goal.kind === "check" ? keyOfCheck(given.contextKey) : given.contextKey;
  const completeOrder = { ...given, contextKey, ...(files && { dockerfile: files.dockerfile }) };
  await tunnel.send(buildMessage({ order: completeOrder, sendsContext, goal }));
  const builder = parseBuilder(await nextMessage(tunnel, "builder", { timeout, what: "builder", stop: signal }));
  output.detail({ code: "builder-found", builder: builder.kind, version: builder.version });
  const logged = receiveLog(tunnel, onEvent);
  logged.catch(() => {}); // awaited below
  const before = traffic.bytesSent;
  if (sendsContext) {
    await sendFiles(tunnel.connect(CONTEXT_SERVICE), files, contextKey, { output, signal, env });
  }
  const sent = sendsContext ? traffic.bytesSent : undefined;
  // Await both: a log that cannot be read ends the build at once.
  const [message] = await abortable(
    Promise.all([tunnel.next(goal.kind === "check" ? "checked" : "built"), logged]),
    signal,
  );
  const contextBytes = (sent ?? traffic.bytesSent) - before;
  return { builder, message, contextBytes };
}

/** Receives the image like a pull, in a conversation of its own. */
async function bringBack(
  tunnel: Tunnel,
  target: Target,
  { id }: BuiltMessage,
  request: BuildRequest,
  context: Context,
  traffic: Traffic,
): Promise<TransferResult> {
  const image = parseImageName(id); // a later build may have taken its name
  const options = { signal: context.signal, failureForPeer: failureForPeer(request), explain: explainError };
  const conversation = new ConversationOpener(tunnel).open();
  return await useTunnel(conversation, options, async (_, signal) => {
    const ownContext = { ...context, signal };
    return await new DividedTraffic(traffic).use(
      async (divided) =>
        await receiveOver(conversation, target, { ...request, image, isRenamed: true }, ownContext, {
          traffic: divided,
          started: performance.now(),
        }),
    );
  });
}

function cannotBuild(tool: string): Failure {
  return new Failure("usage", `the remote side is docker-over-ssh ${tool}, which cannot build`, {
    expected: "`docker-over-ssh build`, of a version that supports it, at the end of the remote command",
    hint: "Use ssh://HOST instead, which finds the best program there or sends this one.",
  });
}
