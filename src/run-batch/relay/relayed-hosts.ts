import { asFailure, reportOf } from "../../explain-error.ts";
import { EXIT_STATUS, type Failure } from "../../output/errors.ts";
import type { TransferEvent, TransferResult } from "../../output/events.ts";
import type { Output } from "../../output/output.ts";
import { EventReader } from "../../output/read-event.ts";
import type { HostConnection, NonEmpty, PushRequest, RelayOrder, RemoteBatch } from "../../request.ts";
import { RemoteFailure } from "../../stdio-tunnel/failures.ts";
import { imageOf } from "../../transfer.ts";
import type { Outcome } from "../push-to-hosts.ts";
import { notPassedOn, notTold, relayedLoginHint } from "./relay-errors.ts";

/** What has become of one host. */
interface RelayedHost {
  address: string;
  remote: RemoteBatch<PushRequest>;
  /** By the image as it was typed */
  results: Map<string, TransferResult>;
  failures: Map<string | undefined, Failure>;
}

/**
 * Reads what the relay tells of the other hosts, and tells it here: events of hosts and images that are not in the order are ignored, and of
 * several outcomes of one transfer all but the first, so that neither memory nor the table at the end grows.
 */
export class RelayedHosts {
  readonly #first: HostConnection;
  readonly #output: Output;
  readonly #reader = new EventReader();
  readonly #hosts = new Map<string, RelayedHost>();
  /** The images as they were typed here, by their names on the first host. */
  readonly #images: ReadonlyMap<string, string>;
  /** Why the relay has done nothing, in its words. */
  #refusal: Failure | undefined;

  constructor(
    first: RemoteBatch<PushRequest> & { connection: HostConnection },
    others: readonly RemoteBatch<PushRequest>[],
    { images, hosts }: RelayOrder,
    output: Output,
  ) {
    this.#first = first.connection;
    this.#output = output;
    others.forEach((remote, index) => {
      const address = hosts[index] ?? "";
      this.#hosts.set(address, { address, remote, results: new Map(), failures: new Map() });
    });
    this.#images = new Map(first.transfers.map((request, index) => [images[index] ?? "", imageOf(request)]));
  }

  /** Takes a line of the relay. */
  take(line: string): void {
    const event = this.#reader.read(line);
    if (event === undefined) return;
    const { host: address, image: name } = event.transfer ?? {};
    if (event.type === "error" && address === undefined) this.#refusal ??= new RemoteFailure(event.code, event.message);
    const host = this.#hosts.get(address ?? "");
    const image = this.#images.get(name ?? "");
    if (host === undefined || (name !== undefined && image === undefined)) return;
    const told = this.#toldOf(host, image, event);
    if (told === undefined) return;
    this.#output.event({ ...told, transfer: { host: host.address, ...(image !== undefined && { image }) } });
  }

  /** Returns an event as it is told here; undefined for one that is not. */
  #toldOf(host: RelayedHost, image: string | undefined, event: TransferEvent): TransferEvent | undefined {
    switch (event.type) {
      case "started":
        return image === undefined ? undefined : { ...event, image };
      case "note": // of doctor, whose lines do not say which host they are about
        return event.code === "checked" ? undefined : event;
      case "detail": // of a login that may ask for something: that one asks nothing here
        return event.code === "command-started" ? undefined : event;
      case "error": {
        if (host.failures.has(image)) return undefined;
        const { code, message, expected, hint } = event;
        const isLogin = code === "engine-unreachable" || code === "remote-no-answer";
        const more = isLogin ? [relayedLoginHint(host.address, this.#first)] : [];
        const words = { ...(expected && { expected }), hint: [hint ?? "", ...more].join(" ").trim() };
        host.failures.set(image, new RemoteFailure(code, message, words));
        return { type: "error", code, exitStatus: EXIT_STATUS[code], side: "remote", message, ...words };
      }
      case "result": {
        if (image === undefined || host.results.has(image) || host.failures.has(image)) return undefined;
        const { type, transfer: _, ...result } = event;
        const as = host.remote.transfers.find((request) => imageOf(request) === image)?.as;
        const told: TransferResult = { ...result, role: "sender", image, ...(as && { name: as.given }) };
        host.results.set(image, told);
        return { type, ...told };
      }
      default:
        return event;
    }
  }

  /** Tells of images that the first host has not got. */
  notArrived(images: readonly string[], reason: unknown): void {
    const { code } = asFailure(reason);
    for (const host of this.#hosts.values())
      for (const image of images) this.#fail(host, notPassedOn(image, this.#first, code), image);
  }

  /**
   * Returns the outcome of each host, in the order of the command line. A host that lacks one has failed.
   *
   * @param ended why the relay has not ended well
   */
  outcomes(ended?: unknown): Outcome[] {
    return [...this.#hosts.values()].map((host) => {
      if (!isTold(host, ended)) this.#fail(host, ended ?? this.#refusal ?? notTold(this.#first));
      const [failure] = host.failures.values();
      if (failure !== undefined) return { failure };
      const results = host.remote.transfers.flatMap((request) => host.results.get(imageOf(request)) ?? []);
      return { results: results as unknown as NonEmpty<TransferResult> };
    });
  }

  #fail({ address, failures }: RelayedHost, error: unknown, image?: string): Failure {
    const failure = asFailure(error);
    failures.set(image, failure);
    this.#output.event({
      type: "error",
      ...reportOf(failure),
      transfer: { host: address, ...(image !== undefined && { image }) },
    });
    return failure;
  }
}

/** Whether the relay has told what has become of each image, and of the command of --run, which follows the last one. */
function isTold({ remote, results, failures }: RelayedHost, ended: unknown): boolean {
  if (failures.has(undefined)) return true; // of the host as a whole
  const isOpen = remote.transfers.map(imageOf).some((image) => !results.has(image) && !failures.has(image));
  return !isOpen && (ended === undefined || remote.run === undefined || failures.size > 0);
}
