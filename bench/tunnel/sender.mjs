/** The sending side of a measured tunnel: serves streams of BYTES each (`sender.mjs BYTES`), then reports the resources that it used. */
import { PROTOCOL_VERSION } from "../../dist/stdio-tunnel/constants.js";
import { shakeHands } from "../../dist/stdio-tunnel/handshake.js";
import { Tunnel } from "../../dist/stdio-tunnel/session.js";
import { ownStdio } from "../../dist/stdio-tunnel/transport.js";
import { source } from "./source.mjs";
import { usage } from "./usage.mjs";

const bytes = Number(process.argv[2]);
const hello = { protocol: PROTOCOL_VERSION, tool: "bench", role: "sender", features: [] };
const transport = ownStdio();
const tunnel = new Tunnel(transport, await shakeHands(transport, { origin: "spawned", hello }), { role: "sender" });
tunnel.listen("bytes", (stream) => source(bytes).pipe(stream.resume()));
tunnel.on("done", () => void tunnel.send({ type: "usage", ...usage() }));
await tunnel.result();
await tunnel.close();
