/** Another side that is there, keeps its connection alive, and says nothing of what it is asked; and an engine that accepts and never answers. */
import { createServer } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { newRunId } from "../../../src/run/run-id.ts";
import type { Tunnel } from "../../../src/stdio-tunnel/session.ts";
import { makeImage } from "../image/make-image.ts";
import { layoutOf, writeTree } from "../places/images.ts";
import { playRemoteSide } from "./remote-side.ts";
import { folder, program, refused, told, workplace } from "./run-program.ts";

const image = await makeImage([3000]);
await writeTree(join(folder, "image"), layoutOf([{ image, ref: "v1" }]));

/** Until it is told that the other end has given up. */
const sayNothing = async (tunnel: Tunnel): Promise<void> =>
  await new Promise((resolve) => tunnel.signal.addEventListener("abort", () => resolve()));

const ask = async (tunnel: Tunnel): Promise<void> =>
  await tunnel.send({ type: "ask", image: "app:v1", run: newRunId() });

test.each<[string, string[], "sender" | "receiver", (tunnel: Tunnel) => Promise<void>, RegExp]>([
  ["a sender, of the image", ["pull", "--to", "oci:target", "app:v1"], "sender", sayNothing, /what the image is/],
  ["a receiver, of what it wants", ["push", `oci:${folder}/image`], "receiver", sayNothing, /what it wants/],
  [
    "a receiver, of what it lacks",
    ["push", `oci:${folder}/image`],
    "receiver",
    async (tunnel) => {
      await ask(tunnel);
      await sayNothing(tunnel);
    },
    /what it lacks of the image/,
  ],
])("%s says nothing", async (_, [command = "", ...words], role, play, what) => {
  const { run, socket } = await workplace();
  await using far = await playRemoteSide(socket, role, play);
  const ended = await run(command, "--timeout", "2", ...words, ...far.command);
  expect(told(ended)).toEqual(refused(6, new RegExp(`has not said for 2 s ${what.source}`)));
  expect(await far.told).toMatchObject({ code: "remote-no-answer" });
});

test("the engine of the other side accepts and never answers", async () => {
  const { run, socket } = await workplace();
  const server = createServer({ allowHalfOpen: true }, (connection) => void connection.on("error", () => {}).resume());
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  const far = [...program, "push", "-H", `unix://${socket}`, "app:v1"];
  const ended = await run("pull", "--timeout", "3", "--to", "oci:target", "app:v1", ...far);
  expect(told(ended)).toEqual(refused(6, /has not said for 3 s what the image is/));
  const near = await run(
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
  expect(told(near)).toEqual(refused(4, /has not answered to GET \/_ping for 1 s/));
  server.close();
});
