/** What others come to hear: the far end of this machine, a log of a command line; and a reader that has gone, nothing. */
import { join } from "node:path";
import { execa } from "execa";
import { expect, test } from "vitest";
import { MAGIC_LINE } from "../../../src/stdio-tunnel/constants.ts";
import { makeImage } from "../image/make-image.ts";
import { layoutOf, writeTree } from "../places/images.ts";
import { newRunId } from "../../../src/run/run-id.ts";
import { playRemoteSide } from "./remote-side.ts";
import { hello } from "../../fixtures/remote/open-end.ts";
import { folder, program, workplace } from "./run-program.ts";

await writeTree(join(folder, "image"), layoutOf([{ image: await makeImage([3000]), ref: "v1" }]));

/** Says hello, and writes what it is told to its stderr. */
const LISTENS = `
process.stdout.write(${JSON.stringify(MAGIC_LINE + JSON.stringify(hello("receiver")))} + "\\n");
process.stdin.once("data", (chunk) => { console.error("heard " + chunk.toString("latin1").split("\\n").slice(0, 2).join(" ")); process.exit(1); });
`;

test("the remote side hears what the image is called, and not where it lies here; a log sees no password", async () => {
  const { run } = await workplace();
  const far = ["env", "PASSWORD=hunter2", process.execPath, "-e", LISTENS];
  const { stderr } = await run("push", "--verbose", `oci:${join(folder, "image")}:v1`, ...far);
  const [received = ""] = /^remote: heard .*$/m.exec(stderr) ?? [];
  expect(received).toContain('"image":"v1"');
  expect(received).not.toContain(folder);
  expect(stderr).toContain("running env PASSWORD=*** ");
  expect(stderr).toContain("`env PASSWORD=*** ");
  expect(stderr).not.toContain("hunter2");
});

test("nor does it hear so when this side gives up", async () => {
  const { run, socket } = await workplace();
  await using far = await playRemoteSide(socket, "receiver", async (tunnel) => {
    await tunnel.send({ type: "ask", image: "app:v1", run: newRunId(), platform: "linux/arm64" });
    await new Promise<void>((resolve) => tunnel.signal.addEventListener("abort", () => resolve()));
  });
  const { exitCode, stderr } = await run("push", `oci:${join(folder, "image")}:v1`, ...far.command);
  expect(exitCode).toBe(3);
  expect(stderr).toContain(folder);
  const { code, message, expected, hint } = await far.told;
  expect(code).toBe("image-not-found");
  expect([message, expected, hint].join(" ")).not.toContain(folder);
});

test.each([
  ["--help", "stdout", 0],
  ["--wrong", "stderr", 2],
] as const)("%s to a reader that has gone is no fault", async (word, name, status) => {
  const child = execa(process.execPath, [...program.slice(1), word], { reject: false });
  child[name].destroy(); // long before there is anything to be read
  const ended = await child;
  expect({ status: ended.exitCode, stdout: ended.stdout, stderr: ended.stderr }).toMatchObject({
    status,
    [name === "stdout" ? "stderr" : "stdout"]: "",
  });
});
