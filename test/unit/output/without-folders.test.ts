import { homedir } from "node:os";
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { readPushRequest } from "../../../src/commands/push.ts";
import { Failure } from "../../../src/output/errors.ts";
import { outputTo } from "../../../src/output/output.ts";
import { tunnelOptions } from "../../../src/transfer.ts";

const output = outputTo(() => {});

/** Returns the message that the peer receives for a failure with `text`, when the command line names `path`. */
function told(path: string, text: string): string | undefined {
  const signal = new AbortController().signal;
  const surroundings = { output, signal, env: {} };
  const request = readPushRequest(`oci:${path}`, { kind: "command", words: ["far"] }, {}, {});
  const { failureForPeer } = tunnelOptions(request, { kind: "spawned" }, surroundings, {
    ready: Promise.resolve(),
    signal,
  });
  return failureForPeer?.(new Failure("not-verified", text)).message;
}

test.each([
  ["/data/app", '"/data/app/index.json" and /data/app.', '"app/index.json" and app.'],
  ["/data/app/", "/data/app/index.json of /data/app/", "app/index.json of app/"],
  ["some/app", `some/app is ${resolve("some/app")}/x`, "app is app/x"],
  ["/app", "docker.io/app and /apple, /app", "docker.io/app and /apple, app"],
  ["/data/$&", "in /data/$&:", "in $&:"],
  ["/", "no file / index.json in /: a/b", "no file / index.json in /: a/b"],
  [".", "in ./index.json: v1.2", "in ./index.json: v1.2"],
  ["app", `unix://${homedir()}/docker.sock`, "unix://~/docker.sock"],
  ["app", `${homedir()}/app in docker.io${homedir()}less`, `~/app in docker.io${homedir()}less`],
])("the peer receives messages about %s without its folders", (path, text, expected) => {
  expect(told(path, text)).toBe(expected);
});
