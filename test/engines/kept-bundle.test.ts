import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildImage } from "../testbed/build-image.ts";
import { startLoginHost } from "../testbed/login-host.ts";
import { nodeImage } from "../testbed/node-image.ts";
import { bed, done, why } from "./bed.ts";
import { BUNDLE_SENT, byContainer, byNode, RemoteUsers, userWith, type Way } from "./remote-users.ts";

const IMAGE = "kept-bundle:v1";

const names = ["owner", "folder", "linked", "read-only", "homeless", "full", "one", "two"];
const users = names.map((name) => userWith(name, ["docker", "node"]));

let on: RemoteUsers;

beforeAll(async () => {
  if (why) return;
  on = new RemoteUsers(bed, await startLoginHost(bed, users));
  await nodeImage(bed.far);
  await buildImage(bed.near, IMAGE, [{ name: "kept-bundle", bytes: 100_000 }]);
});

afterAll(async () => {
  if (why) return;
  await on?.clean("kept-bundle");
  await on?.host[Symbol.asyncDispose]();
});

const nameFor = (user: string): string => `kept-bundle:${user}`;

/** Pushes the image under a name of the user's own, expects that it arrives, and tells whether the bundle was sent. */
async function pushAndKeep(way: Way): Promise<{ isSent: boolean }> {
  const { run } = await on.transfer("push", way, "--as", nameFor(way.user), IMAGE);
  expect(run).toEqual(done);
  return { isSent: run.stderr.includes(BUNDLE_SENT) };
}

/** The same, and removes the image. */
async function push(way: Way): Promise<{ isSent: boolean }> {
  const pushed = await pushAndKeep(way);
  await bed.far.docker("rmi", nameFor(way.user));
  return pushed;
}

/** The bundle as it is kept: readable by its user alone. */
const kept = (user: string): unknown => [
  expect.stringMatching(new RegExp(`^-rw------- ${user} bundle-[0-9a-f]{64}\\.cjs$`)),
];

describe.skipIf(why)(`a kept bundle ${why ?? ""}`, () => {
  const trace = "require('node:fs').writeFileSync('/home/owner/ran', '')";

  test("one that is as it was sent is used", async () => {
    expect(await push(byNode("owner"))).toEqual({ isSent: true });
    expect(await push(byNode("owner"))).toEqual({ isSent: false });
    expect(await on.cached("owner")).toEqual(kept("owner"));
  });

  test.each([
    ["whose content has changed", `echo "${trace}" | tee bundle-*`],
    ["that is a link to the same content", "cp bundle-* ../copy; ln -sf ../copy bundle-*"],
    ["that others may write", "chmod 0666 bundle-*"],
    ["that others may read", "chmod 0644 bundle-*"],
    ["that another user owns", "chown one bundle-*"],
    ["that is a pipe", 'b=$(echo bundle-*); rm "$b"; mkfifo -m 600 "$b"; chown owner "$b"'],
  ])("one %s is neither run nor followed", async (_, change) => {
    await push(byNode("owner"));
    await on.run(`cd /home/owner/.cache/docker-over-ssh && ${change}`);
    expect(await push(byNode("owner"))).toEqual({ isSent: true });
    expect(await on.cached("owner")).toEqual(kept("owner"));
    expect(await on.run("ls /home/owner/ran 2>/dev/null; :")).toBe("");
  });

  test.each([
    ["folder", "belongs to another user", "chown one $cache; chmod 777 $cache"],
    [
      "linked",
      "is a link to another user's",
      "to=/home/one/theirs; mv $cache $to; chown one $to; chmod 777 $to; chmod 711 /home/one; ln -s $to $cache",
    ],
  ])("%s: where the cache folder %s, the bundle there is not read, and none is kept", async (user, _, change) => {
    await push(byNode(user));
    await on.run(`set -e; cache=/home/${user}/.cache/docker-over-ssh; ${change}`);
    const list = `ls -lR /home/${user}/.cache/ /home/one`;
    const before = await on.run(list);
    for (let run = 0; run < 2; run++) expect(await push(byNode(user))).toEqual({ isSent: true });
    expect(await on.run(list)).toBe(before);
  });
});

describe.skipIf(why)("a user who has no room for the bundle gets it each time", () => {
  test.each([
    ["read-only", "the home is read-only", "chown root /home/read-only; chmod 755 /home/read-only"],
    ["homeless", "there is no home", "mv /home/homeless/.local /run/homeless; rm -r /home/homeless"],
    [
      "full",
      "the disk is full",
      "mkdir /home/full/.cache; mount -t tmpfs -o size=64k,mode=700,uid=$(id -u full) tmpfs /home/full/.cache",
    ],
  ])("%s: %s", async (user, _, change) => {
    await on.run(change);
    const way = byNode(user);
    const options = [...way.options, "--far-path", `/run/${user}/bin`];
    for (let run = 0; run < 2; run++) expect(await push({ user, options })).toEqual({ isSent: true });
    expect(await on.cached(user)).toEqual([]);
    expect(await on.run(`find /home -path "/home/${user}/*" -name "*bundle*"`)).toBe("");
  });
});

describe.skipIf(why)("two users at the same time", () => {
  test.each<[string, (user: string) => Way]>([
    ["node", byNode],
    ["container", byContainer],
  ])("by %s", async (_, by) => {
    const pair = ["one", "two"];
    const both = async (): Promise<{ isSent: boolean }[]> => {
      const pushed = await Promise.all(pair.map(async (user) => await pushAndKeep(by(user))));
      // Together: an engine that removes two names of one image at the same moment may fail.
      await bed.far.docker("rmi", ...pair.map(nameFor));
      return pushed;
    };
    await both();
    expect(await both()).toEqual([{ isSent: false }, { isSent: false }]);
    await on.untilEnded("one");
    await on.untilEnded("two");
  });
});
