/** Secrets that must not reach the remote side or a log of the command line, and output to a closed reader. */
import { join } from "node:path";
import { execa } from "execa";
import { expect, test } from "vitest";
import { MAGIC_LINE } from "../../../src/stdio-tunnel/constants.ts";
import { makeImage } from "../image/make-image.ts";
import { layoutOf, writeTree } from "../command-line/images.ts";
import { newRunId } from "../../../src/run/run-id.ts";
import { playRemoteSide } from "./remote-side.ts";
import { hello } from "../../fixtures/remote/open-end.ts";
import { folder, program, makeWorkspace } from "./run-program.ts";

await writeTree(join(folder, "image"), layoutOf([{ image: await makeImage([3000]), ref: "v1" }]));

/** A remote side that sends its hello, and copies its input to its stderr. */
const ECHO = `
process.stdout.write(${JSON.stringify(MAGIC_LINE + JSON.stringify(hello("receiver")))} + "\\n");
process.stdin.once("data", (chunk) => { console.error("received " + chunk.toString("latin1").split("\\n").slice(0, 2).join(" ")); process.exit(1); });
`;

test("the remote side gets the name of the image, but not its path; a log contains no password", async () => {
  const { run } = await makeWorkspace();
  const remote = ["env", "PASSWORD=hunter2", process.execPath, "-e", ECHO];
  const { stderr } = await run("push", "--verbose", `oci:${join(folder, "image")}:v1`, ...remote);
  const [received = ""] = /^remote: received .*$/m.exec(stderr) ?? [];
  expect(received).toContain('"image":"v1"');
  expect(received).not.toContain(folder);
  expect(stderr).toContain("running env PASSWORD=*** ");
  expect(stderr).toContain("`env PASSWORD=*** ");
  expect(stderr).not.toContain("hunter2");
});

test("the remote side does not get the path in a failure of this side", async () => {
  const { run, socket } = await makeWorkspace();
  await using remote = await playRemoteSide(socket, "receiver", async (tunnel) => {
    await tunnel.send({ type: "ask", image: "app:v1", run: newRunId(), platform: "linux/arm64" });
    await new Promise<void>((resolve) => tunnel.signal.addEventListener("abort", () => resolve()));
  });
  const { exitCode, stderr } = await run("push", `oci:${join(folder, "image")}:v1`, ...remote.command);
  expect(exitCode).toBe(3);
  expect(stderr).toContain(folder);
  const { code, message, expected, hint } = await remote.reported;
  expect(code).toBe("image-not-found");
  expect([message, expected, hint].join(" ")).not.toContain(folder);
});

test.each([
  ["--help", "stdout", 0],
  ["--wrong", "stderr", 2],
] as const)("%s to a reader that has closed is no error", async (word, name, status) => {
  const child = execa(process.execPath, [...program.slice(1), word], { reject: false });
  child[name].destroy(); // before anything is written
  const ended = await child;
  expect({ status: ended.exitCode, stdout: ended.stdout, stderr: ended.stderr }).toMatchObject({
    status,
    [name === "stdout" ? "stderr" : "stdout"]: "",
  });
});
