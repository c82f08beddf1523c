import type { Ask } from "../conversation/ask.ts";
import type { ImageName } from "../image/image-name.ts";
import { fullName, type Reference } from "../image/reference.ts";
import { checkedSource, Sources, type openSource } from "../locations/locations.ts";
import { Failure } from "../output/errors.ts";
import { sendOver } from "../push.ts";
import type { PushRequest, RemoteBatch } from "../request.ts";
import type { Source } from "../send/source.ts";
import type { Conversation } from "../stdio-tunnel/conversation.ts";
import { abortable } from "../streams/abortable.ts";
import type { DividedTraffic } from "../traffic.ts";
import { imageOf, startTransfer, type Context } from "../transfer.ts";
import { Outcomes } from "./outcomes.ts";

/** An image of a push, and its source, which is being opened. */
interface PushedImage {
  request: PushRequest;
  ready: Promise<Source>;
  /** Whether the source must be read to the end before anything is known about it. */
  takesTime: () => Promise<boolean>;
}

/** The images of a push, and their sources. Disposing closes the sources. */
export class PushedImages implements AsyncDisposable {
  readonly outcomes: Outcomes<PushRequest>;
  readonly #batch: RemoteBatch<PushRequest>;
  readonly #context: Context;
  readonly #sources: Sources;
  readonly #openSource: typeof openSource;
  readonly #opened: AsyncDisposable[] = [];
  readonly #images: PushedImage[];

  /** @param open opens the sources. Default: opens sources for this push only */
  constructor(batch: RemoteBatch<PushRequest>, context: Context, open?: typeof openSource) {
    this.outcomes = new Outcomes(batch, context);
    this.#batch = batch;
    this.#context = context;
    this.#sources = new Sources(context);
    this.#openSource = open ?? ((request) => this.#sources.open(request));
    this.#images = batch.transfers.map((request) => this.#open(request));
  }

  #open(request: PushRequest): PushedImage {
    const location = this.#openSource(request, this.#context);
    this.#opened.push(location);
    const ready = checkedSource(location, request); // an error is reported to a receiver that requests the image
    return { request, ready, takesTime: async () => (await location.takesTime?.()) ?? false };
  }

  /** The names of the images, for a receiver without names of its own. */
  get names(): readonly string[] {
    return this.#batch.transfers.map((request) => nameOf(request)?.given ?? imageOf(request));
  }

  /** Waits for archives that must be read to the end before anything is known about them. A remote side would not wait that long. */
  async readSlowOnes(): Promise<void> {
    for (const { ready, takesTime } of this.#images) if (await takesTime()) await ready.catch(() => {});
  }

  /** Resolves when an image can be sent. If none can, rejects with the error of the first, and marks the others as failed. */
  async oneIsReady(): Promise<void> {
    try {
      await Promise.any(this.#images.map(async ({ ready }) => await ready));
    } catch (error) {
      const { errors } = error as AggregateError;
      this.#images.forEach(({ request }, index) => this.outcomes.fail(request, errors[index]));
      throw errors[0];
    }
  }

  /** Sends the image that the receiver requests. */
  async send(conversation: Conversation, ask: Ask, stop: AbortSignal, traffic: DividedTraffic): Promise<void> {
    const { request, ready } = this.#find(ask.image);
    const context = { ...this.outcomes.begin(request), signal: stop };
    const { started, succeed } = startTransfer(request, context);
    const source = await abortable(ready, stop);
    const result = await traffic.use(
      async (own) => await sendOver(conversation, source, request, context, { traffic: own, started, ask }),
    );
    this.outcomes.succeed(request, succeed(result));
  }

  /** Throws a `refused` Failure for an image that is not of this batch. */
  #find(requested: ImageName | undefined): PushedImage {
    const isRequested = (request: PushRequest): boolean => requested === undefined || isNamed(request, requested);
    const found = this.#images.find(({ request }) => !this.outcomes.has(request) && isRequested(request));
    if (found !== undefined) return found;
    const [{ source, ...template }] = this.#batch.transfers;
    if (requested !== undefined && this.#batch.acceptsOthers && source.kind === "docker-daemon") {
      return this.#open({ ...template, source: { ...source, given: requested.given, image: requested } });
    }
    throw new Failure(
      "refused",
      `the receiving side requests ${requested?.given ?? "one more image"}, which is not among the images to send`,
      {
        expected: `a request for one of ${this.names.slice(0, 10).join(", ")}, once`,
        hint: "Name the same images on both sides.",
      },
    );
  }

  /** Marks the images that the receiver has not requested as failed. */
  failRest(): void {
    for (const request of this.outcomes.open) this.outcomes.fail(request, notRequested(request));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#opened.map(async (location) => await location[Symbol.asyncDispose]()));
    await this.#sources[Symbol.asyncDispose]();
  }
}

/** Returns the name of the image at the receiver, if this side knows it. */
function nameOf({ as, remoteName, source }: PushRequest): Reference | undefined {
  const own = source.kind === "docker-daemon" ? source.image.reference : source.name?.reference;
  return as ?? remoteName ?? own;
}

function isNamed(request: PushRequest, { given, reference }: ImageName): boolean {
  const name = nameOf(request);
  if (name === undefined || reference === undefined) return imageOf(request) === given;
  return fullName(name) === fullName(reference);
}

function notRequested(request: PushRequest): Failure {
  const image = imageOf(request);
  return new Failure("refused", `${image} was not sent: the receiving side has not requested it`, {
    expected: "the same images on both sides",
    hint: `Also name ${image} in the remote command.`,
  });
}
