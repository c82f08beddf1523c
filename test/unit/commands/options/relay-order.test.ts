import { describe, expect, test } from "vitest";
import { parseCommandLine } from "../../../../src/cli.ts";
import { pushCommand, pushJob } from "../../../../src/commands/push.ts";
import { withOutputOptions } from "../../../../src/commands/options/output-options.ts";
import type { RelayOrder } from "../../../../src/request.ts";

async function orderOf(words: string, env: NodeJS.ProcessEnv = {}): Promise<RelayOrder | undefined> {
  const ignore = { out: () => {}, err: () => {} };
  const parsed = await parseCommandLine(
    ["node", "docker-over-ssh", "push", "--relay", ...words.split(" ")],
    env,
    ignore,
  );
  return "job" in parsed ? parsed.job.batch?.relay : expect.fail(`status ${parsed.exitStatus}`);
}

describe("the order of a push --relay", () => {
  test.each<[string, Omit<RelayOrder, "options">]>([
    ["app:v1 ssh://a ssh://b ssh://c", { images: ["app:v1"], hosts: ["ssh://b", "ssh://c"] }],
    ["app:v1 docker-archive:x.tar:db:v1 ssh://a docker://b", { images: ["app:v1", "db:v1"], hosts: ["docker://b"] }],
    [`--as app:v2 --as app:v3 ${"0a".repeat(32)} ssh://a ssh://b`, { images: ["app:v2"], hosts: ["ssh://b"] }],
    [`app:v2@sha256:${"0a".repeat(32)} ssh://a ssh://b`, { images: ["app:v2"], hosts: ["ssh://b"] }],
  ])("%s", async (words, order) => {
    expect(await orderOf(words)).toMatchObject(order);
  });

  test("contains the options for the images and the hosts, in their JSON form", async () => {
    const about =
      "--as a --tag-also b --keep 3 --platform linux/arm64 --preserve-digest --run true --parallel 2 --timeout 5";
    const there = "--far node --far-path /opt --sudo";
    const own = "--ssh ssh2 --delta never --compress none --bwlimit 5m --registry embedded -H tcp://x --quiet --json";
    const { options } = (await orderOf(`${about} ${there} ${own} app:v1 ssh://a ssh://b`)) ?? expect.fail();
    expect(JSON.parse(JSON.stringify(options))).toEqual({
      as: ["a"],
      tagAlso: ["b"],
      keep: 3,
      platform: [{ os: "linux", architecture: "arm64" }],
      preserveDigest: true,
      run: "true",
      parallel: 2,
      timeout: 5000,
      far: "node",
      farPath: ["/opt"],
      sudo: true,
    });
  });

  test("contains the program of DOCKER_OVER_SSH_FAR", async () => {
    const order = await orderOf("app:v1 ssh://a ssh://b", { DOCKER_OVER_SSH_FAR: "node" });
    expect(order?.options).toMatchObject({ far: "node" });
  });

  test("is refused for a program of DOCKER_OVER_SSH_FAR that has no ssh, with a hint that names the variable", () => {
    const env = { DOCKER_OVER_SSH_FAR: "engine" };
    const hint = "Omit --far, and unset DOCKER_OVER_SSH_FAR; or omit --relay.";
    expect(() => pushJob({ images: ["app:v1"], command: ["ssh://a", "ssh://b"] }, { relay: true }, env)).toThrow(
      expect.objectContaining({ code: "usage", hint }),
    );
  });

  test("creates the same requests on the first host as a push from the initiator would", () => {
    const options = {
      as: ["app:v2", "app:v3"],
      tagAlso: ["latest"],
      keep: 2,
      run: "true",
      relay: true,
      allPlatforms: true,
    };
    const { batch } = pushJob({ images: ["1a2b3c4d5e6f"], command: ["ssh://a", "ssh://b"] }, options, {});
    const order = JSON.parse(JSON.stringify(batch.relay)) as RelayOrder;
    const there = pushJob({ images: order.images, command: order.hosts }, order.options, {}).batch.remotes;
    const [{ transfers, run }] = there;
    expect(there).toHaveLength(1);
    expect({ run, ...transfers[0] }).toMatchObject({
      run: "true",
      source: { given: "app:v2" },
      as: { given: "app:v2" },
      further: { names: [{ given: "app:v3" }], tags: ["latest"] },
      keep: 2,
      platforms: "all",
    });
  });

  // Decide for each new option of push whether it also applies to the hosts of a relay.
  test("passes each option of push on, or applies it on the initiator", () => {
    const names = withOutputOptions(pushCommand.options).map(({ flags }) => /--([\w-]+)/.exec(flags)?.[1]);
    const passedOn =
      "run parallel platform all-platforms as tag-also keep preserve-digest far far-image far-path sudo timeout";
    const own =
      "registry watch to have images-from compose built hosts-file relay delta no-delta dry-run compress bwlimit ssh host quiet verbose no-progress json";
    expect(names.toSorted()).toEqual([...passedOn.split(" "), ...own.split(" ")].toSorted());
  });

  test.each([
    ["one host", "app:v1 ssh://a", "several hosts"],
    ["a command", "app:v1 ssh a", "several hosts"],
    ["--far container", "--far container app:v1 ssh://a ssh://b", "--far container cannot pass"],
    ["--far engine", "--far engine app:v1 ssh://a ssh://b", "--far engine cannot pass"],
    ["an archive that names no image", "docker-archive:x.tar ssh://a ssh://b", "does not name its image"],
  ])("is rejected with %s", async (_, words, message) => {
    await expect(orderOf(words)).rejects.toThrow(message);
  });
});
