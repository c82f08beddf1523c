import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildImage } from "../testbed/build-image.ts";
import { fileEntry, tar } from "../testbed/tar.ts";
import { bed, done, why } from "./bed.ts";

const BASE = "archive-context-base:v1";
const IMAGE = "archive-context:v1";

beforeAll(async () => {
  if (!why) await buildImage(bed.far, BASE);
});
afterAll(async () => {
  if (!why) await bed.far.docker("rmi", "--force", IMAGE, BASE);
});

/** All its files have the same time, as in any reproducible tar. */
const treeWith = (word: string): Buffer =>
  Buffer.concat([
    ...tar([fileEntry("Dockerfile", `FROM ${BASE}\nCOPY word /word\nCMD ["cat", "/word"]\n`), fileEntry("word", word)]),
  ]);

test.skipIf(why)(
  `build - builds the files of the archive, even if their sizes and times equal those of the previous archive ${why ?? ""}`,
  async () => {
    for (const word of ["one", "two", "one"]) {
      const words = ["build", "-t", IMAGE, "-", "ssh", "far", "docker-over-ssh build"];
      const { exitCode, signal, stdout, stderr } = await execa("docker-over-ssh", words, {
        env: bed.env,
        input: treeWith(word),
        reject: false,
      });
      expect({ exitCode, signal, stdout, stderr }).toEqual(done);
      expect((await bed.far.docker("run", "--rm", IMAGE)).stdout).toBe(word);
    }
  },
);
