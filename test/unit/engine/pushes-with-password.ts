import { setTimeout as pause } from "node:timers/promises";
import { openEngine } from "../../../src/engine/open/open-engine.ts";
import { parseHost } from "../../../src/engine/connect/endpoint.ts";

// This runs as a separate process with DEBUG. The pushes overlap.
await using engine = await openEngine(parseHost(process.argv[2] ?? "", "test"));
const credentials = { username: "me", password: process.argv[3] ?? "" };
await Promise.all(
  ["a:1", "b:1", "c:1"].map(async (name, index) => {
    await pause(200 * index);
    await engine.pushImage(`localhost:5000/${name}`, { credentials });
  }),
);
