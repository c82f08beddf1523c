import { asFailure, reportOf } from "../../explain-error.ts";
import type { NonEmpty } from "../../non-empty.ts";
import { EXIT_STATUS, type Failure } from "../../output/errors.ts";
import type { TransferEvent, TransferResult } from "../../output/events.ts";
import type { Output } from "../../output/output.ts";
import { EventReader } from "../../output/read-event.ts";
import type { HostConnection, PushRequest, RelayOrder, RemoteBatch } from "../../request.ts";
import { RemoteFailure } from "../../stdio-tunnel/failures.ts";
import { imageOf } from "../../transfer.ts";
import type { Outcome } from "../push-to-hosts.ts";
import { notPassedOn, notReported, relayedLoginHint } from "./relay-errors.ts";

/** The outcome of one host. */
interface RelayedHost {
  address: string;
  remote: RemoteBatch<PushRequest>;
  /** Keys: the images, verbatim from the command line */
  results: Map<string, TransferResult>;
  failures: Map<string | undefined, Failure>;
}

/**
 * Reads the relay's events of the other hosts, and emits them on this side. Ignores events of hosts and images that are not in the order,
 * and all but the first outcome of a transfer, so that neither memory nor the table at the end can grow.
 */
export class RelayedHosts {
  readonly #first: HostConnection;
  readonly #output: Output;
  readonly #reader = new EventReader();
  readonly #hosts = new Map<string, RelayedHost>();
  /** The images, verbatim from this command line, by their names on the first host. */
  readonly #images: ReadonlyMap<string, string>;
  /** The relay's reason for doing nothing. */
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

  /** Reads a line of the relay. */
  read(line: string): void {
    const event = this.#reader.read(line);
    if (event === undefined) return;
    const { host: address, image: name } = event.transfer ?? {};
    if (event.type === "error" && address === undefined) this.#refusal ??= new RemoteFailure(event.code, event.message);
    const host = this.#hosts.get(address ?? "");
    const image = this.#images.get(name ?? "");
    if (host === undefined || (name !== undefined && image === undefined)) return;
    const shown = this.#shownEvent(host, image, event);
    if (shown === undefined) return;
    this.#output.event({ ...shown, transfer: { host: host.address, ...(image !== undefined && { image }) } });
  }

  /** Returns the event to emit on this side; undefined for an event to ignore. */
  #shownEvent(host: RelayedHost, image: string | undefined, event: TransferEvent): TransferEvent | undefined {
    switch (event.type) {
      case "started":
        return image === undefined ? undefined : { ...event, image };
      case "note": // from doctor, whose lines do not name their host
        return event.code === "checked" ? undefined : event;
      case "detail": // the start of a login, which cannot ask anything on this side
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
        const shown: TransferResult = { ...result, role: "sender", image, ...(as && { name: as.given }) };
        host.results.set(image, shown);
        return { type, ...shown };
      }
      default:
        return event;
    }
  }

  /** Emits the failures of images that the first host does not have. */
  notArrived(images: readonly string[], reason: unknown): void {
    const { code } = asFailure(reason);
    for (const host of this.#hosts.values())
      for (const image of images) this.#fail(host, notPassedOn(image, this.#first, code), image);
  }

  /**
   * Returns the outcome of each host, in the order of the command line. A host without an outcome has failed.
   *
   * @param ended the error with which the relay has ended
   */
  outcomes(ended?: unknown): Outcome[] {
    return [...this.#hosts.values()].map((host) => {
      if (!isReported(host, ended)) this.#fail(host, ended ?? this.#refusal ?? notReported(this.#first));
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

/** Returns whether the relay has reported the outcome of each image, and of the command of --run, which follows the last image. */
function isReported({ remote, results, failures }: RelayedHost, ended: unknown): boolean {
  if (failures.has(undefined)) return true; // a failure of the whole host
  const isOpen = remote.transfers.map(imageOf).some((image) => !results.has(image) && !failures.has(image));
  return !isOpen && (ended === undefined || remote.run === undefined || failures.size > 0);
}
