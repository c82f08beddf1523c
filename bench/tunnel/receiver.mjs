/**
 * The receiving side of a measured tunnel, which spawns the sending side: receiver.mjs BYTES STREAMS STALLED.
 * Reads BYTES on each of STREAMS streams, in addition to STALLED streams that it never reads. Prints JSON: the seconds from the
 * first request to the last byte, and the resources that both sides used.
 */
import { fileURLToPath } from "node:url";
import { spawnRemote } from "../../dist/stdio-tunnel/remote-process.js";
import { PROTOCOL_VERSION, STREAM_WINDOW } from "../../dist/stdio-tunnel/constants.js";
import { shakeHands } from "../../dist/stdio-tunnel/handshake.js";
import { Tunnel } from "../../dist/stdio-tunnel/session.js";
import { usage } from "./usage.mjs";

const [bytes, streams, stalled] = process.argv.slice(2).map(Number);
const sender = fileURLToPath(new URL("sender.mjs", import.meta.url));

function readAll() {
  return new Promise((resolve, reject) => {
    let seen = 0;
    const stream = tunnel.connect("bytes").end();
    stream.on("data", (chunk) => (seen += chunk.length)).once("error", reject);
    stream.once("end", () => (seen === bytes ? resolve() : reject(new Error(`${seen} of ${bytes} bytes came`))));
  });
}

/** Opens a stream and waits until its window is full. */
async function stall() {
  const stream = tunnel.connect("bytes");
  while (stream.readableLength < Math.min(STREAM_WINDOW * 0.9, bytes)) await new Promise(setImmediate);
}

const remote = spawnRemote([process.execPath, sender, String(bytes)], (line) => console.error(line));
const hello = { protocol: PROTOCOL_VERSION, tool: "bench", role: "receiver", features: [] };
const greeting = await shakeHands(remote.transport, { origin: "initiator", hello });
const tunnel = new Tunnel(remote.transport, greeting, { role: "receiver" });
await Promise.all(Array.from({ length: stalled }, stall));
const start = performance.now();
await Promise.all(Array.from({ length: streams }, readAll));
const seconds = (performance.now() - start) / 1000;
const senderUsage = tunnel.next("usage");
await tunnel.send({ type: "done" });
const report = { seconds, receiver: usage(), sender: await senderUsage };
await tunnel.finish({});
await remote[Symbol.asyncDispose]();
console.log(JSON.stringify(report));
