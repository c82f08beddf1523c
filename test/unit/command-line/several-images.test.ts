import { existsSync } from "node:fs";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { makeImage } from "../image/make-image.ts";
import { folder, program, run, settings } from "./cli.ts";
import { layoutOf, look, whole, writeTree } from "./images.ts";

const at = (name: string): string => join(folder, name);
const [a, b, c] = [
  await makeImage([3000, 200_000, 700]),
  await makeImage([3000, 200_000, 800]),
  await makeImage([3000, 900]),
];
const images = [
  { image: a, ref: "a:v1" },
  { image: b, ref: "b:v1" },
  { image: c, ref: "c:v1" },
];
await writeTree(at("all"), layoutOf(images));
const sources = ["oci:all:a:v1", "oci:all:b:v1", "oci:all:c:v1"];
const names = ["a:v1", "b:v1", "c:v1"];

/**
 * Creates a host that is this machine, and returns the options for it. Its docker-over-ssh receives into the layout `to`, and writes a line to the
 * file `TO.log` for each login.
 */
async function makeHost(to: string, { takesOneImage }: { takesOneImage: boolean }): Promise<string[]> {
  const bin = at(`bin-${to}`);
  await mkdir(bin);
  // Like a version that does not support batches, it does not list the feature `conversations`.
  const version = takesOneImage ? "unset DOCKER_OVER_SSH_BY_SCRIPT" : ":";
  const programs = {
    ssh: `echo login >> ${at(`${to}.log`)}; while [ "$1" != -- ]; do shift; done; shift 2; exec /bin/sh -c "$*"`,
    "docker-over-ssh": `${version}; shift; exec ${program.join(" ")} pull --to oci:${at(to)} "$@"`,
  };
  for (const [name, code] of Object.entries(programs)) {
    await writeFile(join(bin, name), `#!/bin/sh\n${code}\n`);
    await chmod(join(bin, name), 0o755);
  }
  return ["--far", "installed", "--far-path", bin, "--ssh", join(bin, "ssh")];
}

/** Returns the images that have been transferred, with the number of layers that were sent for each. */
function layersSent(stderr: string): Record<string, number> {
  const lines = stderr.matchAll(/^(?:pushed|pulled) (\S+): .* for (\d+) layers?,/gm);
  return Object.fromEntries([...lines].map(([, image = "", count]) => [image, Number(count)]));
}

/** Returns the rows of the final table, one for each image. */
function tableIn(stderr: string): string[] {
  return stderr.split("\n").filter((line) => / {2}(?:done|failed)/.test(line));
}

describe.concurrent("several images over one connection", () => {
  test.each(["push", "pull"])("%s: sends shared layers once", async (verb) => {
    const [push, pull] = [
      ["push", ...sources, "--"],
      ["pull", "--to", `oci:to-${verb}`, ...names, "--"],
    ];
    const line = verb === "push" ? [...push, ...program, ...pull] : [...pull, ...program, ...push];
    const { exitCode, stderr } = await run(...line);
    expect(stderr).toContain("a:v1");
    expect(exitCode).toBe(0);
    expect(Object.values(layersSent(stderr))).toEqual([3, 1, 1]);
    expect(tableIn(stderr)).toHaveLength(3);
    for (const { image, ref } of images) expect(await look("oci", at(`to-${verb}`), ref)).toEqual(whole(image));
  });

  test("a receiver without an image receives all that are offered; the sender reads the images from a list on stdin", async () => {
    const words = [...program.slice(1), "push", "--images-from", "-", ...program, "pull", "--to", "oci:to-list"];
    const { exitCode, stderr } = await execa(process.execPath, words, { ...settings, input: sources.join("\n") });
    expect(Object.keys(layersSent(stderr))).toEqual(sources);
    expect(exitCode).toBe(0);
    for (const { image, ref } of images) expect(await look("oci", at("to-list"), ref)).toEqual(whole(image));
  });

  test.each([
    ["--as", ["--as", "mine:v1", "--to", "oci:to-as"], "to-as"],
    ["a file for one image", ["--to", "oci-archive:to-one.tar"], "to-one.tar"],
  ])(
    "a receiver with %s rejects several images, because the sender cannot choose other names",
    async (_, options, to) => {
      const { exitCode, stderr } = await run("push", ...sources, "--", ...program, "pull", ...options);
      expect(stderr).toContain("the receiving side accepts one image, but the sending side has 3");
      expect(exitCode).toBe(13);
      expect(existsSync(at(to))).toBe(false);
    },
  );

  test.each<[string, string[], string[], number, string, string[]]>([
    [
      "an image that is missing at the sender",
      ["push", "oci:all:a:v1", "oci:all:x:v1", "oci:all:c:v1", "--"],
      ["pull", "a:v1", "x:v1", "c:v1", "--"],
      3,
      "1 of 3 images was not transferred",
      ["a:v1", "c:v1"],
    ],
    [
      "an image that is not in the sender's batch",
      ["pull", "a:v1", "x:v1", "c:v1", "--"],
      ["push", "oci:all:a:v1", "oci:all:c:v1", "--"],
      13,
      "the receiving side requests x:v1, which is not among the images to send",
      ["a:v1", "c:v1"],
    ],
    [
      "an image that the receiver does not request",
      ["push", ...sources, "--"],
      ["pull", "c:v1", "b:v1", "--"],
      13,
      "oci:all:a:v1 was not sent: the receiving side has not requested it",
      ["b:v1", "c:v1"],
    ],
    [
      "a remote command with one image",
      ["push", ...sources, "--"],
      ["pull", "b:v1"],
      13,
      "the remote side accepts one image per connection",
      ["b:v1"],
    ],
  ])("%s does not stop the others", async (name, near, far, status, message, arrived) => {
    const to = `oci:to-${name.replaceAll(" ", "-")}`;
    const withTo = ([verb = "", ...words]: string[]) =>
      verb === "pull" ? [verb, "--to", to, ...words] : [verb, ...words];
    const { exitCode, stderr } = await run(...withTo(near), ...program, ...withTo(far));
    expect(stderr).toContain(message);
    expect(stderr).not.toContain("remote: docker-over-ssh");
    expect(exitCode).toBe(status);
    for (const { image, ref } of images) {
      if (arrived.includes(ref)) expect(await look("oci", at(to.slice(4)), ref)).toEqual(whole(image));
    }
  });

  test.each([
    ["with one login", "there-new", false, 1],
    ["a login for each and a note where the remote version accepts one image per connection", "there-old", true, 3],
  ] as const)("to a host: %s", async (_, to, takesOneImage, logins) => {
    const host = await makeHost(to, { takesOneImage });
    const { exitCode, stderr } = await run("push", ...host, ...sources, "ssh://prod");
    expect(stderr.includes("accepts one image per connection: each other image")).toBe(takesOneImage);
    expect(Object.values(layersSent(stderr))).toEqual([3, 1, 1]);
    expect(tableIn(stderr)).toHaveLength(3);
    expect(exitCode).toBe(0);
    expect((await readFile(at(`${to}.log`), "utf8")).match(/login/g)).toHaveLength(logins);
    for (const { image, ref } of images) expect(await look("oci", at(to), ref)).toEqual(whole(image));
  });
});
