import { chmod, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { makeImage, plain } from "../image/make-image.ts";
import { folder, program, run, start } from "./cli.ts";
import { layoutOf, look, whole, writeTar, writeTree } from "./images.ts";

const at = (name: string): string => join(folder, name);

/** A stand-in for ssh. Each host stores its images in a layout with the name of the host. The host `down` cannot be reached. */
const ssh = at("ssh");
await writeFile(
  ssh,
  `#!/bin/sh
while [ "$1" != -- ]; do shift; done
case $2 in
  down*) echo "ssh: connect to host $2: Connection refused" >&2; exit 255 ;;
  odd*) options="--compress gzip" ;;
esac
echo "#docker-over-ssh#remote# try installed /usr/bin/docker-over-ssh"
exec ${program.map((word) => `'${word}'`).join(" ")} pull $options --to "oci:${folder}/$2" app:v1
`,
);
await chmod(ssh, 0o755);

const image = await makeImage([3000, 2_000_000, 700, 40_000]);
await writeTree(at("gzip"), layoutOf([{ image, ref: "app:v1" }]));
await writeTar(at("plain.tar"), layoutOf([{ image, ref: "app:v1" }], plain));

test.each(["oci:gzip", "oci-archive:plain.tar"])("pushes an image from %s to several hosts", async (source) => {
  const names = ["a", "odd", "c"].map((name) => `${name}-${source.replace(/\W/g, "-")}`);
  const { exitCode, stderr } = await run("push", "--ssh", ssh, source, ...names.map((name) => `ssh://${name}`));
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  for (const name of names) expect(await look("oci", at(name), "app:v1")).toEqual(whole(image));
  expect(await readdir(at("cache/docker-over-ssh"))).not.toContainEqual(expect.stringMatching(/^spool-/));
});

test("a host that fails does not stop the others, and sets the exit status", async () => {
  const { exitCode, stderr } = await run("push", "--ssh", ssh, "oci:gzip", "ssh://one", "ssh://down", "ssh://two");
  expect(exitCode).toBe(4);
  // Each line names its host.
  expect(stderr).toMatch(/^remote ssh:\/\/down: ssh: connect to host down: Connection refused$/m);
  expect(stderr).toMatch(/^docker-over-ssh: ssh:\/\/down: .+$/m);
  expect(stderr).toMatch(/^ssh:\/\/two: pushed oci:gzip/m);
  expect(stderr).toContain("1 of 3 hosts");
  const table = stderr
    .split("\n")
    .flatMap((line) => /^ssh:\/\/(\w+) +(done|failed: [\w-]+)/.exec(line)?.slice(1).join(" ") ?? []);
  expect(table.toSorted()).toEqual(["down failed: engine-unreachable", "one done", "two done"]);
  for (const name of ["one", "two"]) expect(await look("oci", at(name), "app:v1")).toEqual(whole(image));
});

test("--hosts-file reads the hosts, and --parallel 1 pushes to one after the other", async () => {
  await writeFile(at("hosts"), "# production\nssh://first # the old one\n\nsecond\nssh://first\n");
  const hosts = ["--hosts-file", "hosts", "--parallel", "1"];
  const { exitCode, stderr } = await run("push", "--ssh", ssh, ...hosts, "oci:gzip", "ssh://third");
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  for (const name of ["first", "second", "third"]) expect(await look("oci", at(name), "app:v1")).toEqual(whole(image));
  expect(stderr.match(/pushed oci:gzip/g)).toHaveLength(3);
});

test("rejects a file without hosts, and a command together with such a file", async () => {
  await writeFile(at("none"), "# nothing yet\n");
  expect(await run("push", "--hosts-file", "none", "oci:gzip")).toMatchObject({ exitCode: 2 });
  await writeFile(at("some"), "one\n");
  const { exitCode, stderr } = await run("push", "--hosts-file", "some", "oci:gzip", "ssh://two", "true");
  expect({ exitCode, stderr }).toEqual({ exitCode: 2, stderr: expect.stringContaining("`true`") as string });
});

test("reports a missing image once", async () => {
  const { exitCode, stderr } = await run("push", "--ssh", ssh, "oci:nowhere", "ssh://one", "ssh://two");
  expect(exitCode).toBe(3);
  expect(stderr.match(/there is no folder/g)).toHaveLength(1);
});

test("a dry run reports the same for each of several hosts as for one host", async () => {
  const plansOf = async (...hosts: string[]): Promise<unknown[]> => {
    const addresses = hosts.map((name) => `ssh://plan-${name}`);
    // With a fixed level: otherwise the time of packing decides about the level, and so about the estimated size.
    const options = ["--dry-run", "--json", "--compress", "gzip:6", "--ssh", ssh];
    const { stdout } = await start("push", ...options, "oci-archive:plain.tar", ...addresses);
    const events = stdout.split("\n").map((line) => JSON.parse(line || "{}") as { type?: string; perLayer?: unknown });
    return events.filter(({ type }) => type === "plan").map(({ perLayer }) => perLayer);
  };
  const [one] = await plansOf("one");
  expect(one).toHaveLength(4);
  expect(await plansOf("two", "three")).toEqual([one, one]);
});
