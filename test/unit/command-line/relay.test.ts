import { existsSync } from "node:fs";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { makeImage } from "../image/make-image.ts";
import { folder, program, run, settings, start } from "./cli.ts";
import { layoutOf, look, whole, writeTree } from "./images.ts";

const at = (name: string): string => join(folder, name);
const image = await makeImage([3000, 40_000]);
await writeTree(at("layout"), layoutOf([{ image, ref: "app:v1" }]));

/** A stand-in for the relay on the first host. Its behaviour depends on the name of the host. */
await writeFile(
  at("relay.mjs"),
  `import { createInterface } from "node:readline";
import { writeFileSync } from "node:fs";
const [, , host] = process.argv;
const say = (text) => process.stdout.write(text + "\\n");
const features = host === "old" ? [] : ["relay"];
say("#docker-over-ssh#tunnel#\\n" + JSON.stringify({ protocol: 1, tool: "0.1.0", role: "sender", features }));
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const next = async () => JSON.parse((await lines.next()).value ?? process.exit(0));
const order = await next();
if (host === "refuses") {
  say(JSON.stringify({ type: "error", code: "remote-command-not-found", exitStatus: 5, side: "here", message: "it has no ssh", hint: "Install it." }));
  process.exit(0);
}
say('{"type":"ready"}');
const arrived = await next();
writeFileSync("order.json", JSON.stringify({ order, arrived }));
for (const transfer of order.hosts.map((host) => ({ host, image: arrived[0] }))) {
  if (host !== "well" && transfer.host === "ssh://c") continue;
  say(JSON.stringify({ type: "progress", stage: "sending", current: 1, total: 2, transfer }));
  say(JSON.stringify({ type: "result", role: "sender", image: "x", id: "y", layersSent: 1, layersPresent: 0, bytesPresent: 0, bytesRebuilt: 0, bytesSent: 7, bytesReceived: 7, ms: 1, transfer }));
}
if (host === "dies") process.exit(3);
if (host === "endless") process.stdout.write("x".repeat(2_000_000));
if (host === "silent" || host === "endless") await lines.next();
process.exit(0);
`,
);

/** A stand-in for ssh. Each host has docker-over-ssh installed, and stores its images in a layout with the name of the host. */
const ssh = at("ssh");
const ours = program.map((word) => `'${word}'`).join(" ");
await writeFile(
  ssh,
  `#!/bin/sh
while [ "$1" != -- ]; do shift; done
case "$2 $*" in
  *"dd bs=1"*) exit 0 ;; # --run
  none*"'relay'") echo "#docker-over-ssh#remote# pass installed status 2"; echo "#docker-over-ssh#remote# nothing /bin"; exit 127 ;;
esac
echo "#docker-over-ssh#remote# try installed /usr/bin/docker-over-ssh"
case "$*" in
  *"'relay'") exec ${process.execPath} "${at("relay.mjs")}" "$2" ;;
esac
exec ${ours} pull --to "oci:${folder}/$2" app:v1
`,
);
await chmod(ssh, 0o755);

const relay = (...words: string[]) => ["push", "--relay", "--ssh", ssh, ...words];

describe("push --relay", () => {
  test("sends to the first host, and prints its reports about the other hosts", async () => {
    const { exitCode, stderr } = await run(
      ...relay("--parallel", "2", "oci:layout:app:v1", "ssh://well", "ssh://b", "ssh://c"),
    );
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
    expect(await look("oci", at("well"), "app:v1")).toEqual(whole(image));
    expect(stderr).toContain("well passes the images on to ssh://b, ssh://c");
    expect(stderr).toMatch(/^ssh:\/\/well +done +\d.*\nssh:\/\/b +done +7 B sent .*\nssh:\/\/c +done +7 B sent /m);
    const { order, arrived } = JSON.parse(await readFile(at("order.json"), "utf8")) as Record<string, unknown>;
    expect(order).toMatchObject({ images: ["app:v1"], hosts: ["ssh://b", "ssh://c"], options: { parallel: 2 } });
    expect(arrived).toEqual(["app:v1"]);
  });

  test.each<[string, string, number, string]>([
    ["has no program for it", "none", 5, "ssh://none cannot pass the images on: "],
    ["has no ssh", "refuses", 5, "ssh://refuses cannot pass the images on: it has no ssh"],
    ["has another version", "old", 8, "the docker-over-ssh on ssh://old cannot pass images on"],
  ])("rejects a first host that %s before anything is sent", async (_, host, status, message) => {
    const { exitCode, stderr } = await run(...relay("oci:layout:app:v1", `ssh://${host}`, "ssh://b"));
    expect({ exitCode, stderr }).toEqual({ exitCode: status, stderr: expect.stringContaining(message) as string });
    expect(existsSync(at(host))).toBe(false);
  });

  test.each<[string, string, string[], number, string]>([
    ["ends early", "dies", [], 9, "the relay on ssh://dies ended with status 3"],
    ["writes a line without an end", "endless", [], 9, "the relay on ssh://endless wrote an invalid line"],
    ["falls silent", "silent", ["--timeout", "8"], 9, "the relay on ssh://silent has sent nothing for 8 s"],
    ["omits a host", "forgets", [], 1, "ssh://forgets has not reported whether the images have arrived"],
  ])(
    "a relay that %s has failed for the hosts about which it has reported nothing",
    async (_, host, options, status, message) => {
      const { exitCode, stderr } = await run(
        ...relay(...options, "oci:layout:app:v1", `ssh://${host}`, "ssh://b", "ssh://c"),
      );
      expect({ exitCode, stderr }).toMatchObject({ exitCode: status });
      expect(stderr).toContain(message);
      expect(stderr).toMatch(new RegExp(`^ssh://${host} +done`, "m"));
      expect(stderr).toMatch(/^ssh:\/\/c +failed: /m);
      expect(stderr).not.toMatch(/^ssh:\/\/b +failed: /m);
    },
  );

  test("Ctrl-C ends the relay, which sees the end of its stdin", async () => {
    const waiting = start(...relay("oci:layout:app:v1", "ssh://silent", "ssh://b", "ssh://c"));
    for await (const line of waiting.iterable({ from: "stderr" }))
      if (line.startsWith("ssh://b: pushed")) waiting.kill("SIGINT");
    expect((await waiting).exitCode).toBe(130);
  });
});

describe("the relay", () => {
  const order = { images: ["oci:layout:app:v1", "oci:nowhere:app:v1"], hosts: ["ssh://d", "ssh://e"], options: {} };
  const env = { ...settings.env, DOCKER_OVER_SSH_SSH: ssh };

  /** Runs the relay with these lines on its stdin, which stays open until its stdout contains `until`. */
  async function relayed(lines: readonly unknown[], until: string, more: Record<string, string> = {}): Promise<string> {
    const words = [...program.slice(1), "relay"];
    const running = execa(process.execPath, words, { ...settings, env: { ...env, ...more }, stdin: "pipe" });
    running.stdin.write(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    let seen = "";
    running.stdout.on("data", (chunk: Buffer) => {
      seen += chunk.toString();
      if (seen.includes(until)) running.stdin.end();
    });
    const { exitCode, stdout, stderr } = await running;
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    return stdout;
  }

  test("pushes the images that have arrived to the other hosts, and prints only events", async () => {
    const stdout = await relayed([order, ["oci:layout:app:v1"]], "no such text");
    expect(stdout).toMatch(/^#docker-over-ssh#tunnel#\n.*"features":\["relay"\]\}\n\{"type":"ready"\}\n/);
    expect(stdout.match(/"type":"result"/g)).toHaveLength(2);
    for (const host of ["d", "e"]) expect(await look("oci", at(host), "app:v1")).toEqual(whole(image));
  });

  test("runs the command of --run on hosts where all images have arrived, and not if only some have", async () => {
    const images = ["oci:layout:app:v1"];
    const options = { run: "true" };
    expect(await relayed([{ ...order, images, options }, images], "no such text")).toContain('"running-there"');
    expect(await relayed([{ ...order, options }, images], "no such text")).not.toContain('"running-there"');
  });

  test("names the program that it lacks before it receives the images", async () => {
    const stdout = await relayed([order], "no such text", { DOCKER_OVER_SSH_SSH: "no-such-ssh" });
    expect(stdout).toContain('"code":"remote-command-not-found"');
    expect(stdout).toContain("it has no no-such-ssh, which a login to ssh://d needs");
    expect(stdout).not.toContain('"ready"');
  });

  test("stops when its stdin ends, and exits if the first line is not an order", async () => {
    const waiting = at("waiting");
    await writeFile(waiting, "#!/bin/sh\nexec cat\n", { mode: 0o755 });
    const stdout = await relayed([order, ["oci:layout:app:v1"]], '"command-started"', { DOCKER_OVER_SSH_SSH: waiting });
    expect(stdout).not.toMatch(/"result"|"error"/);
    const other = await execa(process.execPath, [...program.slice(1), "relay"], {
      ...settings,
      input: "#docker-over-ssh#tunnel#\n",
    });
    expect(other.exitCode).toBe(8); // the script passes it over
  });

  test.each<[string, unknown[], string]>([
    ["waits for the images", [order], '"ready"'],
    ["passes them on", [{ ...order, hosts: ["ssh://d"] }, ["oci:layout:app:v1"]], '"command-started"'],
  ])("ends by a signal while it %s", async (_, lines, until) => {
    await writeFile(at("waiting"), "#!/bin/sh\nexec cat\n", { mode: 0o755 });
    const running = execa(process.execPath, [...program.slice(1), "relay"], {
      ...settings,
      env: { ...env, DOCKER_OVER_SSH_SSH: at("waiting") },
      stdin: "pipe",
      timeout: 10_000,
      killSignal: "SIGKILL",
    });
    running.stdin.write(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    for await (const line of running.iterable()) if (line.includes(until)) running.kill("SIGTERM");
    expect((await running).exitCode).toBe(143);
  });
});
