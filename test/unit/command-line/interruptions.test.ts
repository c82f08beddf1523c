import { existsSync } from "node:fs";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { newRunId } from "../../../src/run/run-id.ts";
import { makeImage } from "../image/make-image.ts";
import { folder, program, run, start } from "./cli.ts";
import { layoutOf, look, whole, writeTree } from "./images.ts";

const at = (name: string): string => join(folder, name);
const image = await makeImage([3000, 700]);
const large = await makeImage([3000, 8_000_000]);
await writeTree(at("first"), layoutOf([{ image }]));
await writeTree(at("second"), layoutOf([{ image: large }]));

/** Resolves once a process has written the text to its stderr, or has ended. */
async function untilPrinted(process: ReturnType<typeof start>, text: string): Promise<void> {
  let seen = "";
  await new Promise<void>((resolve) => {
    process.stderr.on("data", (chunk: Buffer) => {
      seen += chunk.toString();
      if (seen.includes(text)) resolve();
    });
    process.stderr.once("end", resolve);
  });
}

test.each(["the tunnel is open", "of 2 layers are already present", "sending", "storing"])(
  "killed after %j: the layout's old image is intact, and the next run completes the new one",
  async (moment) => {
    const name = `killed-${moment.replace(/\W/g, "")}`;
    const pull = ["pull", "--verbose", "--to", `oci:${name}`];
    expect((await run(...pull, "app:v1", ...program, "push", "oci:first")).exitCode).toBe(0);
    const killed = start(...pull, "app:v2", ...program, "push", "oci:second");
    await untilPrinted(killed, moment);
    killed.kill("SIGKILL");
    await killed;
    expect(await look("oci", at(name), "app:v1")).toEqual(whole(image));

    expect((await run(...pull, "app:v2", ...program, "push", "oci:second")).exitCode).toBe(0);
    expect(await look("oci", at(name), "app:v1")).toEqual(whole(image));
    expect(await look("oci", at(name), "app:v2")).toEqual(whole(large));
    expect((await readdir(at(name), { recursive: true })).filter((file) => /part|lock/.test(file))).toEqual([]);
  },
);

test.each(["docker-archive", "oci-archive"] as const)(
  "replaces a %s only when the new one is complete; the next run removes the leftovers of a killed run",
  async (kind) => {
    const pull = ["pull", "--to", `${kind}:${kind}.tar`, "app:v1", ...program, "push"];
    expect((await run(...pull, "oci:first")).exitCode).toBe(0);
    const killed = start(...pull, "oci:second");
    await untilPrinted(killed, "storing");
    killed.kill("SIGKILL");
    await killed;
    expect([whole(image), whole(large)]).toContainEqual(await look(kind, at(`${kind}.tar`)));
    expect((await run(...pull, "oci:second")).exitCode).toBe(0);
    expect(await look(kind, at(`${kind}.tar`))).toEqual(whole(large));
    expect((await readdir(folder)).filter((file) => file.endsWith(".part"))).toEqual([]);
  },
);

test("removes leftovers of killed runs, except in a dry run, and leaves temporary files of live runs", async () => {
  await writeTree(at("left"), layoutOf([{ image, ref: "app:v1" }]));
  // No process has this ID, because the maximum of Linux is 4 million.
  const [dead, alive] = [newRunId(999_999_999), newRunId()];
  for (const run of [dead, alive])
    for (const path of [`left/blobs/sha256/x.${run}.part`, `left/index.json.${run}.part`, `left.tar.${run}.part`])
      await writeFile(at(path), "");
  await writeFile(at("left/index.json.lock"), dead);
  const spool = at(`cache/docker-over-ssh/spool-${dead}-AAAAAA`);
  await mkdir(spool, { recursive: true, mode: 0o700 });
  const before = await readdir(folder, { recursive: true });
  const targets = ["oci:left", "docker-archive:left.tar"];
  for (const to of targets)
    expect((await run("pull", "--dry-run", "--to", to, "app:v2", ...program, "push", "oci:second")).exitCode).toBe(0);
  expect(await readdir(folder, { recursive: true })).toEqual(before);

  for (const to of targets)
    expect((await run("pull", "--to", to, "app:v2", ...program, "push", "oci:second")).exitCode).toBe(0);
  expect(existsSync(spool)).toBe(false);
  const files = [...(await readdir(at("left"), { recursive: true })), ...(await readdir(folder))];
  const left = files.filter((file) => /\.(?:part|lock)$/.test(file));
  expect(left.toSorted()).toEqual([
    `blobs/sha256/x.${alive}.part`,
    `index.json.${alive}.part`,
    `left.tar.${alive}.part`,
  ]);
});

test("concurrent runs write into the same new layout: it then has all their images", async () => {
  const names = ["a:v1", "b:v1", "c:v1", "d:v1"];
  const source = (index: number): string => (index % 2 === 0 ? "oci:first" : "oci:second");
  const runs = await Promise.all(
    names.map(async (name, index) => await run("pull", "--to", "oci:shared", name, ...program, "push", source(index))),
  );
  expect(runs.map(({ exitCode }) => exitCode)).toEqual([0, 0, 0, 0]);
  for (const [index, name] of names.entries())
    expect(await look("oci", at("shared"), name)).toEqual(whole(index % 2 === 0 ? image : large));
});
