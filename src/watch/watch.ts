import { sendOverTunnel } from "../several-images/push-images.ts";
import { PushedImages } from "../several-images/pushed-images.ts";
import { MORE_IMAGES } from "../conversation/features.ts";
import { asFailure, reportOf } from "../explain-error.ts";
import type { PushRequest, RemoteBatch } from "../request.ts";
import { CONVERSATIONS } from "../stdio-tunnel/constants.ts";
import type { Tunnel } from "../stdio-tunnel/session.ts";
import { DividedTraffic } from "../traffic.ts";
import { connectEarly, imageOf, type Connect, type Context, type Use } from "../transfer.ts";
import { BackOff } from "../streams/back-off.ts";
import { isLinkFailure, isPermanent } from "./link-failures.ts";
import { GroupSender } from "./group-sender.ts";
import { WatchedEngine } from "./watched-engine.ts";
import { WatchedImages, type MovedImage } from "./watched-images.ts";

/** ms after which a link counts as good, so that the next pause is the shortest again. */
const GOOD_LINK = 60_000;

export interface WatchSteps {
  /** Returns the connection to the remote side, which is started with the name of this image. */
  connectTo: (request: PushRequest, context: Context) => Promise<Connect>;
  /** Called when all images of a group have arrived without a failure. */
  afterwards: (context: Context) => Promise<void>;
}

/** The state of an attempt. */
interface Attempt {
  engine: WatchedEngine;
  context: Context;
  /** The note `watching` was emitted. */
  isWatching: boolean;
}

/** An open link to the remote side. */
interface Link {
  tunnel: Tunnel;
  stop: AbortSignal;
  traffic: DividedTraffic;
}

/** The watch of the images for one remote side. Holds the state that lasts across attempts. */
export class Watch {
  /** The pauses between attempts. */
  readonly backOff = new BackOff();
  readonly #batch: RemoteBatch<PushRequest>;
  readonly #context: Context;
  readonly #steps: WatchSteps;
  readonly #images: WatchedImages;
  #hasConnected = false;
  /** The transfer of the first images is over. */
  #hasBegun = false;
  /** The peer can hold the link open for further images, as each peer of this version can. */
  #linkStaysOpen = true;

  constructor(batch: RemoteBatch<PushRequest>, context: Context, steps: WatchSteps) {
    this.#batch = batch;
    this.#context = context;
    this.#steps = steps;
    this.#images = new WatchedImages(batch.transfers);
  }

  /** Returns whether another attempt may succeed. Before the first images are transferred, a person can read the error. */
  mayMend(error: unknown): boolean {
    return this.#hasBegun ? !isPermanent(error) : this.#hasConnected && asFailure(error).code === "link-lost";
  }

  /** Watches until the engine or the link is lost; rejects with that failure. */
  async attempt(): Promise<never> {
    await using engine = new WatchedEngine(this.#batch.transfers[0], this.#context);
    const signal = AbortSignal.any([this.#context.signal, engine.signal]);
    const attempt = { engine, context: { ...this.#context, signal }, isWatching: false };
    try {
      let group = await (this.#hasBegun ? this.#images.moved(engine) : this.#first(engine));
      for (;;) {
        if (this.#linkStaysOpen || group.length > 0) await this.#connect(attempt, group);
        group = await this.#next(attempt, signal);
      }
    } catch (error) {
      signal.throwIfAborted(); // an abort is the cause of any error
      throw error;
    }
  }

  /** Returns all images. Throws a Failure if none of them exists. */
  async #first(engine: WatchedEngine): Promise<MovedImage[]> {
    const images = await this.#images.all(engine);
    if (images.some(({ id }) => id !== undefined)) return images;
    const [{ request } = { request: this.#batch.transfers[0] }] = images;
    await (await engine.open(request).opened).check(request);
    return images; // an image has just appeared
  }

  /** Waits until tags have moved, and returns their images. */
  async #next(attempt: Attempt, stop: AbortSignal): Promise<MovedImage[]> {
    for (;;) {
      const moved = await this.#images.moved(attempt.engine);
      stop.throwIfAborted(); // perhaps aborted while --run ran
      if (moved.length > 0) return moved;
      if (!attempt.isWatching)
        this.#context.output.note({ code: "watching", images: this.#batch.transfers.map(imageOf) });
      attempt.isWatching = true;
      await attempt.engine.changed(stop);
    }
  }

  /** Connects, and sends images. Resolves only if the peer cannot hold the link open. */
  async #connect(attempt: Attempt, group: readonly MovedImage[]): Promise<void> {
    const { context } = attempt;
    const request = group[0]?.request ?? this.#batch.transfers[0];
    const since = performance.now();
    let isTold = false;
    const use: Use<void> = async (tunnel, stop, traffic) => {
      this.#hasConnected = true;
      const link = { tunnel, stop, traffic: new DividedTraffic(traffic) };
      if (tunnel.peer.features.includes(MORE_IMAGES)) return await this.#keepSending(attempt, link, group);
      if (this.#linkStaysOpen) context.output.note({ code: "link-not-kept", peerVersion: tunnel.peer.tool });
      this.#linkStaysOpen = false;
      await this.#sendOnce(attempt, link, group, () => (isTold = true));
    };
    try {
      const connect = await this.#steps.connectTo(request, context);
      const features = [CONVERSATIONS, MORE_IMAGES];
      await connectEarly(connect, Promise.resolve(), context.signal, use, { features });
    } catch (error) {
      context.signal.throwIfAborted();
      if (!isTold) throw error;
    } finally {
      if (performance.now() - since > GOOD_LINK) this.backOff.reset();
    }
  }

  /** Sends images, and those whose tags move later, until the link is lost. */
  async #keepSending(attempt: Attempt, link: Link, first: readonly MovedImage[]): Promise<never> {
    const { tunnel, stop, traffic } = link;
    const sender = new GroupSender(tunnel, this.#batch.transfers[0], stop, traffic);
    let group = first;
    for (;;) {
      await this.#send(attempt, tunnel, group, async (images) => await sender.send(images));
      using _ = tunnel.rest();
      group = await this.#next(attempt, stop);
    }
  }

  /**
   * Sends images over a link that ends after them. A peer that accepts one image per connection gets the first. `onReported`: the transfer
   * has failed, and the failure was reported.
   */
  async #sendOnce(
    attempt: Attempt,
    { tunnel, stop, traffic }: Link,
    group: readonly MovedImage[],
    onReported: () => void,
  ): Promise<void> {
    let failure: { error: unknown } | undefined;
    await this.#send(attempt, tunnel, group, async (images) => {
      if (images === undefined) return;
      try {
        await sendOverTunnel(tunnel, images, this.#batch.transfers[0], stop, traffic);
      } catch (thrown) {
        attempt.context.signal.throwIfAborted();
        const error: unknown = stop.aborted ? stop.reason : thrown; // the failure that the peer reported ends the tunnel
        if (isLinkFailure(error)) throw error;
        images.outcomes.failNext(error);
        failure = { error };
        onReported();
      }
    });
    if (failure !== undefined) throw failure.error; // the peer also gets the failure
  }

  /** Sends images with `send`, and runs the step that follows. */
  async #send(
    { engine, context }: Attempt,
    tunnel: Tunnel,
    group: readonly MovedImage[],
    send: (images?: PushedImages) => Promise<void>,
  ): Promise<void> {
    const [first, ...others] = group.map(({ request }) => request);
    if (first === undefined) return await send(); // after a lost link, perhaps no tag has moved
    const batch = { ...this.#batch, transfers: [first, ...others] as const };
    await using images = new PushedImages(batch, context, (request) => engine.open(request));
    const { outcomes } = images;
    await send(images).finally(() => {
      for (const image of group) if (outcomes.has(image.request)) this.#images.settle(image);
    });
    this.#hasBegun = true;
    if (outcomes.haveFailures) return;
    this.backOff.reset();
    using _ = tunnel.rest(); // the command of --run may take long
    try {
      await this.#steps.afterwards(this.#context); // continues when this side's engine is lost, because nothing would run the command again
    } catch (error) {
      this.#context.signal.throwIfAborted();
      context.output.event({ type: "error", ...reportOf(error) });
    }
  }
}
