import { pushJob } from "../../../../src/commands/push.ts";
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseCommandLine } from "../../../../src/cli.ts";
import type { Batch } from "../../../../src/request.ts";

/** Creates a folder with programs of these names, for PATH. */
const path = mkdtempSync(join(tmpdir(), "docker-over-ssh-words-"));
for (const name of ["ssh", "docker", "node"]) {
  writeFileSync(join(path, name), "");
  chmodSync(join(path, name), 0o755);
}
mkdirSync(join(path, "db"));

/** Returns the batch that a command line creates. */
async function batchOf(words: readonly string[]): Promise<Batch> {
  const ignore = { out: () => {}, err: () => {} };
  const parsed = await parseCommandLine(["node", "docker-over-ssh", ...words], { PATH: path }, ignore);
  if (!("job" in parsed)) expect.fail(`status ${parsed.exitStatus}`);
  return parsed.job.batch ?? expect.fail("no transfer");
}

/** Returns the images that a command line names, and its remote sides: addresses or commands. */
async function read(line: string): Promise<[images: string[], remotes: string[]]> {
  const { remotes } = await batchOf(line.split(" "));
  const images = remotes.map(({ transfers }) =>
    transfers.map((request) => (request.role === "sender" ? request.source.given : (request.image?.given ?? ""))),
  );
  expect(new Set(images.map((names) => names.join(" "))).size).toBe(1);
  const shown = remotes.map(({ connection }) => {
    if (connection.kind === "host") return connection.given;
    return "words" in connection ? connection.words.join(" ") : connection.kind;
  });
  return [images[0] ?? [], shown];
}

describe.each(["push", "pull"])("%s", (verb) => {
  test.each<[string, string[], string[]]>([
    ["a", ["a"], ["spawned"]],
    ["a ssh prod x", ["a"], ["ssh prod x"]],
    ["a -- ssh prod x", ["a"], ["ssh prod x"]],
    ["a prod", ["a"], ["prod"]],
    ["a ssh://prod", ["a"], ["ssh://prod"]],
    // The words before -- or an address are images.
    ["a b c -- ssh prod x", ["a", "b", "c"], ["ssh prod x"]],
    ["a b:v2 r.example.com/team/c:1 ssh://prod", ["a", "b:v2", "r.example.com/team/c:1"], ["ssh://prod"]],
    ["a b docker://app", ["a", "b"], ["docker://app"]],
    ["a b -- prod", ["a", "b"], ["prod"]],
    ["a b -- kubectl exec -i pod -- x", ["a", "b"], ["kubectl exec -i pod -- x"]],
    ["a b --", ["a", "b"], ["spawned"]],
    ["a b a ssh://prod", ["a", "b"], ["ssh://prod"]],
    ["a db -- x", ["a", "db"], ["x"]],
    ["a node:24 ssh://prod", ["a", "node:24"], ["ssh://prod"]],
    // An image may have the name of a local program.
    ["a node ssh://prod", ["a", "node"], ["ssh://prod"]],
    ["a node docker ssh://x ssh://y", ["a", "node", "docker"], ["ssh://x", "ssh://y"]],
    ["a -- ssh ssh://prod", ["a"], ["ssh ssh://prod"]],
    ["-q --timeout 5 a b ssh://prod", ["a", "b"], ["ssh://prod"]],
    // A command may contain both.
    ["a kubectl exec -i pod -- x", ["a"], ["kubectl exec -i pod -- x"]],
    ["a ssh prod -- x", ["a"], ["ssh prod -- x"]],
    ["a docker -H ssh://prod system dial-stdio", ["a"], ["docker -H ssh://prod system dial-stdio"]],
    ["a ssh ssh://prod x", ["a"], ["ssh ssh://prod x"]],
    [`a ${path}/ssh prod -- x`, ["a"], [`${path}/ssh prod -- x`]],
    ["a b --sudo ssh://prod", ["a"], ["b --sudo ssh://prod"]],
    ["a ./Connect ssh://prod", ["a"], ["./Connect ssh://prod"]],
    // Several hosts
    ["a ssh://x ssh://y", ["a"], ["ssh://x", "ssh://y"]],
    ["a b ssh://x docker://y", ["a", "b"], ["ssh://x", "docker://y"]],
    ["a b -- ssh://x ssh://y", ["a", "b"], ["ssh://x", "ssh://y"]],
  ])("%s", async (words, images, remotes) => {
    expect(await read(`${verb} ${words}`)).toEqual([images, remotes]);
  });

  test.each([
    ["a ssh://prod x", "ssh://prod replaces the whole command"],
    ["--as x a b ssh://prod", "--as x is one name, but 2 images are named"],
  ])("rejects %s", async (words, message) => {
    await expect(read(`${verb} ${words}`.trim())).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining(message) as string,
    });
  });
});

test("push accepts locations among several images", async () => {
  expect(await read("push a oci:./layout:v2 docker-archive:x.tar:b ssh://prod")).toEqual([
    ["a", "oci:./layout:v2", "docker-archive:x.tar:b"],
    ["ssh://prod"],
  ]);
});

test("push names an image; pull need not, if the sender has started it", async () => {
  await expect(read("push")).rejects.toMatchObject({ code: "usage", message: "no IMAGE is named" });
  expect(await read("pull")).toEqual([[""], ["spawned"]]);
});

test.each([
  ["push oci:layout a ssh://prod", "oci:layout does not name its image"],
  [`push ${"0a".repeat(32)} a -- x`, "is an image ID"],
  ["pull --to docker-archive:x.tar a b ssh://prod", "--to docker-archive:x.tar accepts one image"],
  ["pull --to oci:x:c a b ssh://prod", "--to oci:x:c accepts one image"],
  ["pull --to docker-daemon:c a b ssh://prod", "accepts one image"],
])("rejects %s", async (words, message) => {
  await expect(read(words)).rejects.toMatchObject({
    code: "usage",
    message: expect.stringContaining(message) as string,
  });
});

test("a host that is named twice counts once", () => {
  const words = { images: ["oci:folder:app:v1"], command: ["ssh://a", "ssh://b", "ssh://a"] } as const;
  const { remotes } = pushJob(words, {}, {}).batch;
  expect(remotes.map(({ connection }) => connection)).toMatchObject([{ given: "ssh://a" }, { given: "ssh://b" }]);
});
