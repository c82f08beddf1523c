import { connect } from "node:http2";
import { duplexPair } from "node:stream";
import { expect, test } from "vitest";
import { refuseGrpc } from "../../../../src/guard/calls/refuse-grpc.ts";

test("each gRPC call gets the message", async () => {
  const [client, server] = duplexPair();
  const stop = new AbortController();
  const ended = refuseGrpc(server, stop.signal, "100% no: set DOCKER_BUILDKIT=0");
  const session = connect("http://guard", { createConnection: () => client });
  for (const path of ["/moby.buildkit.v1.Control/Info", "/moby.buildkit.v1.Control/ListWorkers"]) {
    const stream = session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc" });
    stream.resume().end(Buffer.alloc(5));
    const headers = await new Promise<Record<string, unknown>>((resolve) => void stream.once("response", resolve));
    expect(headers["grpc-status"]).toBe("9");
    expect(decodeURIComponent(String(headers["grpc-message"]))).toBe("100% no: set DOCKER_BUILDKIT=0");
  }
  session.destroy();
  stop.abort();
  await ended;
});

test("a connection ends with its signal", async () => {
  const [, server] = duplexPair();
  const stop = new AbortController();
  const ended = refuseGrpc(server, stop.signal, "no");
  stop.abort();
  await ended;
  expect(server.destroyed).toBe(true);
});
