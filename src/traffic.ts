import type { RemoteProgram } from "./output/remote-programs.ts";

/** Bytes that the connection to the remote side has transferred so far. */
export interface Traffic {
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** The program that runs the remote side; `none` if it is this process; undefined if the user's remote command started it. */
  readonly program?: RemoteProgram | "none";
}

/** Names the program that runs the remote side. */
export function trafficBy(program: RemoteProgram, traffic: Traffic): Traffic {
  return {
    program,
    get bytesSent() {
      return traffic.bytesSent;
    },
    get bytesReceived() {
      return traffic.bytesReceived;
    },
  };
}

type Bytes = Pick<Traffic, "bytesSent" | "bytesReceived">;

/**
 * Divides the traffic of a connection between its transfers, which run one after the other. A transfer's share begins after the result of
 * the previous one; the first share includes the opening of the connection. The results therefore add up to the traffic at the last one.
 * The traffic of a failed transfer counts for no transfer.
 */
export class DividedTraffic {
  readonly #traffic: Traffic;
  #start: Bytes = { bytesSent: 0, bytesReceived: 0 };

  constructor(traffic: Traffic) {
    this.#traffic = traffic;
  }

  /** Runs `transfer` with its own share of the traffic. Its result contains the bytes at its end. */
  async use<T extends Bytes>(transfer: (own: Traffic) => Promise<T>): Promise<T> {
    const [traffic, start] = [this.#traffic, this.#start];
    try {
      const result = await transfer({
        ...(traffic.program && { program: traffic.program }),
        get bytesSent() {
          return traffic.bytesSent - start.bytesSent;
        },
        get bytesReceived() {
          return traffic.bytesReceived - start.bytesReceived;
        },
      });
      this.#start = {
        bytesSent: start.bytesSent + result.bytesSent,
        bytesReceived: start.bytesReceived + result.bytesReceived,
      };
      return result;
    } catch (error) {
      this.#start = { bytesSent: traffic.bytesSent, bytesReceived: traffic.bytesReceived };
      throw error;
    }
  }
}
