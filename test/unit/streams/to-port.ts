import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { bridge } from "../../../src/streams/bridge.ts";

/** Bridges a stream to a new connection to a TCP port. `onUnreachable` is called when the connection fails. */
export function toPort(port: number, host: string, onUnreachable: (error: Error) => void): (stream: Duplex) => void {
  return (stream) => {
    let connected = false;
    const socket = connect({ port, host, allowHalfOpen: true }, () => (connected = true));
    socket.once("error", (error) => {
      if (!connected) onUnreachable(error);
    });
    bridge(stream, socket);
  };
}
