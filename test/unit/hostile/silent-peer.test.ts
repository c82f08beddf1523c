/** A peer that keeps its connection alive and never answers, and an engine that accepts connections and never answers. */
import { createServer } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { newRunId } from "../../../src/run/run-id.ts";
import type { Tunnel } from "../../../src/stdio-tunnel/session.ts";
import { makeImage } from "../image/make-image.ts";
import { layoutOf, writeTree } from "../command-line/images.ts";
import { playRemoteSide } from "./remote-side.ts";
import { folder, program, outcome, refused, makeWorkspace } from "./run-program.ts";

const image = await makeImage([3000]);
await writeTree(join(folder, "image"), layoutOf([{ image, ref: "v1" }]));

/** Waits until the tested side gives up. */
const staySilent = async (tunnel: Tunnel): Promise<void> =>
  await new Promise((resolve) => tunnel.signal.addEventListener("abort", () => resolve()));

const ask = async (tunnel: Tunnel): Promise<void> =>
  await tunnel.send({ type: "ask", image: "app:v1", run: newRunId() });

test.each<[string, string[], "sender" | "receiver", (tunnel: Tunnel) => Promise<void>, RegExp]>([
  [
    "a sender, before it describes the image",
    ["pull", "--to", "oci:target", "app:v1"],
    "sender",
    staySilent,
    /description of the image/,
  ],
  [
    "a receiver, before it requests an image",
    ["push", `oci:${folder}/image`],
    "receiver",
    staySilent,
    /request for an image/,
  ],
  [
    "a receiver, before it lists the layers that it wants",
    ["push", `oci:${folder}/image`],
    "receiver",
    async (tunnel) => {
      await ask(tunnel);
      await staySilent(tunnel);
    },
    /list of the layers that it wants/,
  ],
])("fails if the silent peer is %s", async (_, [command = "", ...options], role, play, missing) => {
  const { run, socket } = await makeWorkspace();
  await using remote = await playRemoteSide(socket, role, play);
  const ended = await run(command, "--timeout", "2", ...options, ...remote.command);
  expect(outcome(ended)).toEqual(refused(6, new RegExp(`has sent no ${missing.source} for 2 s`)));
  expect(await remote.reported).toMatchObject({ code: "remote-no-answer" });
});

test("fails if an engine accepts a connection and never answers", async () => {
  const { run, socket } = await makeWorkspace();
  const server = createServer({ allowHalfOpen: true }, (connection) => void connection.on("error", () => {}).resume());
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  const remote = [...program, "push", "-H", `unix://${socket}`, "app:v1"];
  const ended = await run("pull", "--timeout", "3", "--to", "oci:target", "app:v1", ...remote);
  expect(outcome(ended)).toEqual(refused(6, /has sent no description of the image for 3 s/));
  const push = await run(
    "push",
    "--timeout",
    "1",
    "-H",
    `unix://${socket}`,
    "app:v1",
    process.execPath,
    "-e",
    "process.stdin.resume()",
  );
  expect(outcome(push)).toEqual(refused(4, /has not answered to GET \/_ping for 1 s/));
  server.close();
});
