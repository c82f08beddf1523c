import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildImage } from "../testbed/build-image.ts";
import { startLoginHost } from "../testbed/login-host.ts";
import { nodeImage } from "../testbed/node-image.ts";
import { bed, done, why } from "./bed.ts";
import { BUNDLE_SENT, byContainer, byNode, RemoteUsers, userWith, type RemoteChoice } from "./remote-users.ts";

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

/** Pushes the image under a name for this user, and expects that it arrives. Returns whether the bundle was sent. */
async function pushWithoutRemoval(choice: RemoteChoice): Promise<{ isSent: boolean }> {
  const { run } = await on.transfer("push", choice, "--as", nameFor(choice.user), IMAGE);
  expect(run).toEqual(done);
  return { isSent: run.stderr.includes(BUNDLE_SENT) };
}

/** Like {@link pushWithoutRemoval}, but also removes the image. */
async function push(choice: RemoteChoice): Promise<{ isSent: boolean }> {
  const pushed = await pushWithoutRemoval(choice);
  await bed.far.docker("rmi", nameFor(choice.user));
  return pushed;
}

/** The expected cache folder: the bundle, which only its user can read. */
const cachedBundle = (user: string): unknown => [
  expect.stringMatching(new RegExp(`^-rw------- ${user} bundle-[0-9a-f]{64}\\.cjs$`)),
];

describe.skipIf(why)(`a cached bundle ${why ?? ""}`, () => {
  const trace = "require('node:fs').writeFileSync('/home/owner/ran', '')";

  test("is used if it is unchanged", async () => {
    expect(await push(byNode("owner"))).toEqual({ isSent: true });
    expect(await push(byNode("owner"))).toEqual({ isSent: false });
    expect(await on.cached("owner")).toEqual(cachedBundle("owner"));
  });

  test.each([
    ["whose content has changed", `echo "${trace}" | tee bundle-*`],
    ["that is a link to the same content", "cp bundle-* ../copy; ln -sf ../copy bundle-*"],
    ["that others may write", "chmod 0666 bundle-*"],
    ["that others may read", "chmod 0644 bundle-*"],
    ["that another user owns", "chown one bundle-*"],
    ["that is a pipe", 'b=$(echo bundle-*); rm "$b"; mkfifo -m 600 "$b"; chown owner "$b"'],
  ])("%s is neither run nor followed", async (_, change) => {
    await push(byNode("owner"));
    await on.run(`cd /home/owner/.cache/docker-over-ssh && ${change}`);
    expect(await push(byNode("owner"))).toEqual({ isSent: true });
    expect(await on.cached("owner")).toEqual(cachedBundle("owner"));
    expect(await on.run("ls /home/owner/ran 2>/dev/null; :")).toBe("");
  });

  test.each([
    ["folder", "belongs to another user", "chown one $cache; chmod 777 $cache"],
    [
      "linked",
      "is a link to the folder of another user",
      "to=/home/one/theirs; mv $cache $to; chown one $to; chmod 777 $to; chmod 711 /home/one; ln -s $to $cache",
    ],
  ])("%s: is neither read nor written if the cache folder %s", async (user, _, change) => {
    await push(byNode(user));
    await on.run(`set -e; cache=/home/${user}/.cache/docker-over-ssh; ${change}`);
    const list = `ls -lR /home/${user}/.cache/ /home/one`;
    const before = await on.run(list);
    for (let run = 0; run < 2; run++) expect(await push(byNode(user))).toEqual({ isSent: true });
    expect(await on.run(list)).toBe(before);
  });
});

describe.skipIf(why)("sends the bundle each time to a user who cannot store it", () => {
  test.each([
    ["read-only", "the home is read-only", "chown root /home/read-only; chmod 755 /home/read-only"],
    ["homeless", "the home does not exist", "mv /home/homeless/.local /run/homeless; rm -r /home/homeless"],
    [
      "full",
      "the disk is full",
      "mkdir /home/full/.cache; mount -t tmpfs -o size=64k,mode=700,uid=$(id -u full) tmpfs /home/full/.cache",
    ],
  ])("%s: %s", async (user, _, change) => {
    await on.run(change);
    const choice = byNode(user);
    const options = [...choice.options, "--far-path", `/run/${user}/bin`];
    for (let run = 0; run < 2; run++) expect(await push({ user, options })).toEqual({ isSent: true });
    expect(await on.cached(user)).toEqual([]);
    expect(await on.run(`find /home -path "/home/${user}/*" -name "*bundle*"`)).toBe("");
  });
});

describe.skipIf(why)("two users at the same time have their own bundles", () => {
  test.each<[string, (user: string) => RemoteChoice]>([
    ["node", byNode],
    ["container", byContainer],
  ])("by %s", async (_, by) => {
    const pair = ["one", "two"];
    const both = async (): Promise<{ isSent: boolean }[]> => {
      const pushed = await Promise.all(pair.map(async (user) => await pushWithoutRemoval(by(user))));
      // In one command, because an engine that removes two names of one image at the same moment may fail.
      await bed.far.docker("rmi", ...pair.map(nameFor));
      return pushed;
    };
    await both();
    expect(await both()).toEqual([{ isSent: false }, { isSent: false }]);
    await on.untilEnded("one");
    await on.untilEnded("two");
  });
});
