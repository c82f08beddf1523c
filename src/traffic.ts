import type { RemoteProgram } from "./request.ts";

/** Bytes that went through the connection to the remote side so far. */
export interface Traffic {
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** The program that runs the remote side; `none` where this process plays it; undefined where the command that was given started it. */
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
 * Divides the traffic of a connection between its transfers, which follow each other. A transfer has what came after the result of the one before,
 * and the first one has the opening of the connection: the results add up to the traffic at the last one. What a failed transfer has moved counts
 * for none.
 */
export class DividedTraffic {
  readonly #traffic: Traffic;
  #start: Bytes = { bytesSent: 0, bytesReceived: 0 };

  constructor(traffic: Traffic) {
    this.#traffic = traffic;
  }

  /** Lets `transfer` read its own traffic, of which its result has the bytes at its end. */
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
