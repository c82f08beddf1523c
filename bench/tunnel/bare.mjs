/** Measures without a tunnel: a child process writes, and this process reads through the same kind of pipe. bare.mjs BYTES prints JSON. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { source } from "./source.mjs";

const [bytes, child] = process.argv.slice(2);
if (child === undefined) {
  const { stdin, stdout } = spawn(process.execPath, [fileURLToPath(import.meta.url), bytes, "child"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  await once(stdout, "readable");
  stdout.read();
  const start = performance.now();
  stdin.end("go");
  for await (const _ of stdout);
  console.log(JSON.stringify({ seconds: (performance.now() - start) / 1000 }));
} else {
  const stdout = new Socket({ fd: 1, readable: false, writable: true });
  stdout.write("ready");
  await once(process.stdin.resume(), "end");
  source(Number(bytes)).pipe(stdout);
}
