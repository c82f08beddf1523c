/** Sends an image, and prints its progress: `node push-image.js IMAGE ssh://HOST`, or `IMAGE COMMAND…` as for docker-over-ssh push. */
import { Failure, push, type RemoteSide, type TransferEvent } from "docker-over-ssh";

const [image = "", ...words] = process.argv.slice(2);
const [first = ""] = words;
const remote: RemoteSide = first.startsWith("ssh://") ? (first as `ssh://${string}`) : words;

const stop = new AbortController();
process.once("SIGINT", () => stop.abort(new Error("stopped by Ctrl-C")));

try {
  const result = await push({ image, remote, timeout: 120_000 }, { signal: stop.signal, onEvent: print });
  console.log(`done: ${result.id}, ${result.layersSent} layers sent, ${result.bytesSent} bytes in ${result.ms} ms`);
} catch (error) {
  if (!(error instanceof Failure)) throw error;
  console.error(`${error.code}: ${error.message}`);
  process.exitCode = error.exitStatus;
}

function print(event: TransferEvent): void {
  switch (event.type) {
    case "plan":
      console.log(`plan: ${event.missing ?? "?"} of ${event.layers} layers of ${event.image} are missing`);
      break;
    case "progress":
      console.log(`progress: ${event.stage}, ${event.current} of ${event.total ?? "?"} bytes`);
      break;
    case "note":
    case "warning":
      console.log(`${event.type}: ${event.code}`);
      break;
    case "remote":
      console.log(`remote: ${event.line}`);
      break;
    default:
  }
}
