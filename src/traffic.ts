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

/** Returns the traffic from now on. */
export function trafficFromNow(traffic: Traffic): Traffic {
  const { bytesSent, bytesReceived } = traffic;
  return {
    ...(traffic.program && { program: traffic.program }),
    get bytesSent() {
      return traffic.bytesSent - bytesSent;
    },
    get bytesReceived() {
      return traffic.bytesReceived - bytesReceived;
    },
  };
}
