import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, test } from "vitest";
import { bed, rememberEngines, startDos, why } from "./bed.ts";
import { connections, env, folder } from "./engine-only-images.ts";
import { dockerManifest, makeImage } from "../unit/image/make-image.ts";
import { makeTar } from "../unit/image/tar/make-tar.ts";

const IMAGE = "engine-only-watched:dev";

interface Event {
  type: string;
  code?: string;
  line?: string;
}

/** Runs `push --watch`, and follows its events. */
function watch(...args: string[]) {
  const run = startDos(["push", "--watch", "--json", ...args], { env });
  const seen: Event[] = [];
  let look = (): void => {};
  createInterface({ input: run.stdout })
    .on("line", (line) => {
      seen.push(JSON.parse(line) as Event);
      look();
    })
    .on("close", () => look());
  /** Waits until this number of matching events has arrived. */
  const until = async (count: number, of: Event): Promise<void> => {
    const isOf = (event: Event): boolean => Object.entries(of).every(([key, value]) => event[key as "type"] === value);
    await new Promise<void>((resolve, reject) => {
      look = () => {
        if (seen.filter(isOf).length >= count) resolve();
        else if (run.exitCode !== null)
          reject(new Error(`ended with status ${run.exitCode}:\n${JSON.stringify(seen)}`));
      };
      look();
    });
  };
  /** Presses Ctrl-C. Returns the exit status. */
  const stop = async (): Promise<number | undefined> => {
    run.kill("SIGINT");
    return (await run).exitCode;
  };
  return { until, stop, results: () => seen.filter(({ type }) => type === "result").length };
}

/** Moves the watched tag to another image. */
async function move(to: string): Promise<void> {
  await bed.near.docker("tag", to, IMAGE);
}

async function layersOf(engine: typeof bed.near, image: string): Promise<string> {
  return (await engine.docker("inspect", "-f", "{{.RootFS.Layers}}", image)).stdout;
}

/** Returns whether the far engine has the image under the watched tag. */
async function hasArrived(image: string): Promise<boolean> {
  return (await layersOf(bed.far, IMAGE)) === (await layersOf(bed.near, image));
}

/** Returns a docker archive of an image for an architecture. */
async function archiveFor(architecture: string, name: string): Promise<Buffer> {
  const { config, layers } = await makeImage([500], { architecture });
  const files = layers.map((content, index) => ({ name: `${index}.tar`, content }));
  const manifest = dockerManifest(
    "config.json",
    files.map((file) => file.name),
    [name],
  );
  return await makeTar([{ name: "config.json", content: config }, ...files, manifest]);
}

const [RUNS, OTHER] = process.arch === "arm64" ? (["arm64", "amd64"] as const) : (["amd64", "arm64"] as const);
const WATCHING = { type: "note", code: "watching" };
const RESULT = { type: "result" };

describe.skipIf(why)("push --watch", () => {
  test("sends the image when its tag moves, over one connection; runs the command each time", async () => {
    await move("engine-only:v1");
    const changes = await rememberEngines(bed.near, bed.far);
    const run = watch("--run", "echo ran", IMAGE, "ssh://far");
    await run.until(1, WATCHING);
    await move("engine-only:v1"); // the same image again
    await bed.near.docker("tag", "engine-only:v2", "engine-only-other:dev"); // another tag
    await bed.near.docker("rmi", "engine-only-other:dev");
    await move("engine-only:v2");
    await run.until(2, { type: "remote", line: "ran" });
    expect(await hasArrived("engine-only:v2")).toBe(true);
    expect(run.results()).toBe(2);
    expect(connections()).toBe(1 + 2); // one for each command
    expect(await run.stop()).toBe(130);
    expect(await changes()).toMatchObject([{ came: [], went: [] }, { came: [IMAGE] }]);
  });

  test("connects again when the link is lost, and sends the image if the tag has moved in the meantime", async () => {
    await move("engine-only:v1");
    const [ssh, pids] = [join(folder, "noted-ssh"), join(folder, "pids")];
    writeFileSync(ssh, `#!/bin/sh\necho $$ >> ${pids}\nexec ssh "$@"\n`, { mode: 0o755 });
    const run = watch("--ssh", ssh, IMAGE, "ssh://with-node");
    await run.until(1, WATCHING);
    process.kill(Number(readFileSync(pids, "utf8")), "SIGKILL");
    await run.until(1, { type: "note", code: "connecting-in" });
    await move("engine-only:v2");
    await run.until(2, RESULT);
    expect(await hasArrived("engine-only:v2")).toBe(true);
    expect(connections()).toBe(2);
    expect(await run.stop()).toBe(130);
  });

  test("to an engine alone: reports a transfer that fails, and continues to watch", async () => {
    await bed.near.dockerWithInput([await archiveFor(OTHER, "engine-only-other:v1")], ["load"]);
    await move("engine-only:v1");
    const run = watch("--platform", `linux/${RUNS}`, IMAGE, "ssh://bare");
    await run.until(1, WATCHING);
    await move("engine-only-other:v1");
    await run.until(1, { type: "error", code: "image-not-found" });
    await move("engine-only:v2");
    await run.until(2, RESULT);
    expect(await hasArrived("engine-only:v2")).toBe(true);
    expect(await run.stop()).toBe(130);
  });

  test("opens a connection for each transfer to an earlier version", async () => {
    await move("engine-only:v1");
    // Like a version that does not support batches, it does not list the feature `conversations`.
    const earlier = `#!/bin/sh\nunset DOCKER_OVER_SSH_BY_SCRIPT\nexec ${join(bed.bin, "docker-over-ssh")} "$@"\n`;
    writeFileSync(join(folder, "docker-over-ssh"), earlier, { mode: 0o755 });
    const run = watch("--far", "installed", "--far-path", folder, IMAGE, "ssh://far");
    await run.until(1, { type: "note", code: "link-not-kept" });
    await run.until(1, WATCHING);
    await move("engine-only:v2");
    await run.until(2, RESULT);
    expect(await hasArrived("engine-only:v2")).toBe(true);
    expect(connections()).toBe(2);
    expect(await run.stop()).toBe(130);
  });
});
