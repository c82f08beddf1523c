import { chmod, mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, describe, expect, test, vi } from "vitest";
import { hostConnection } from "../../../../src/commands/options/host-options.ts";
import type { TransferEvent } from "../../../../src/output/events.ts";
import { outputTo } from "../../../../src/output/output.ts";
import { readBundle } from "../../../../src/remote/script/bundle.ts";
import { loginCommand } from "../../../../src/remote/login/login.ts";
import { runRemoteCommand } from "../../../../src/remote/login/remote-command.ts";
import { scriptWords } from "../../../../src/remote/script/remote-script.ts";
import { SentNode } from "../../../../src/remote/node/sent-node.ts";
import { startRemoteProgram } from "../../../../src/remote/start-remote-program.ts";
import type { HostConnection, PullRequest } from "../../../../src/request.ts";
import { deferred } from "../../../../src/streams/deferred.ts";
import { temporaryFolder } from "../../engine/fake-engine.ts";

afterEach(() => void vi.useRealTimers());

/** Acts like ssh: joins the words, and passes them to the login shell, with an empty home folder and a PATH without Node. */
const SSH = `#!/bin/sh
while [ "$1" != -- ]; do shift; done
shift 2
exec env -i HOME="$FAR_HOME" PATH="$FAR_PATH" DOCKER_HOST=tcp://127.0.0.1:1 sh -c "$*"
`;

const TOOLS = "cat chmod df find getconf gzip head ls mkdir mktemp mv rm sh sha256sum tail touch uname".split(" ");

/** This side with its cache folder, and a machine that it reaches by `ssh://prod`. */
async function twoMachines() {
  const folder = await temporaryFolder();
  const [here, bin, home] = ["here", "bin", "home"].map((name) => join(folder.path, name)) as [string, string, string];
  for (const made of [here, bin, home]) await mkdir(made);
  for (const name of TOOLS) await execa`ln -s ${(await execa`which ${name}`).stdout} ${join(bin, name)}`;
  const ssh = join(folder.path, "ssh");
  await writeFile(ssh, SSH);
  await chmod(ssh, 0o755);
  const events: TransferEvent[] = [];
  const context = {
    output: outputTo((event) => events.push(event)),
    signal: new AbortController().signal,
    env: { XDG_CACHE_HOME: here },
  };
  const connection: HostConnection = {
    ...hostConnection("ssh://prod", { protocol: "ssh", hostname: "prod" }, {}, {}),
    ssh: ["env", `FAR_HOME=${home}`, `FAR_PATH=${bin}`, ssh],
    programs: ["node", "node-sent"],
  };
  const bundle = readBundle();
  return {
    here: join(here, "docker-over-ssh"),
    home: join(home, ".cache/docker-over-ssh"),
    events,
    async start(asksForNode: boolean, answer?: string) {
      events.length = 0;
      const questions: string[] = [];
      const sentNode = new SentNode({ ...connection, asksForNode }, context, async (question) => {
        questions.push(question);
        return answer;
      });
      const words = scriptWords({ ...connection, bundle, folders: [], words: ["--version"] });
      const login = loginCommand(connection, words);
      const request = { role: "receiver", connection } as PullRequest;
      await using link = runRemoteCommand(login, { words: "ssh prod", byHand: "" }, request, context);
      const started = await startRemoteProgram(link, connection, request, {
        output: context.output,
        signal: context.signal,
        sendImage: async () => false,
        sentNode,
      }).catch((error: unknown) => error);
      const codes = events.flatMap((event) => (event.type === "detail" ? [event.code] : []));
      return { started, questions, codes };
    },
    [Symbol.asyncDispose]: async () => await folder[Symbol.asyncDispose](),
  };
}

describe("to a machine without Node", { timeout: 180_000 }, () => {
  test("sends Node once, with progress, and caches it on both sides; docker-over-ssh then runs on it", async () => {
    await using machines = await twoMachines();
    const tunnel = { kind: "tunnel", program: "node-sent" };
    const first = await machines.start(false);
    expect(first.started).toEqual(tunnel);
    expect(first.codes).toEqual([
      "command-started",
      "command-answered",
      "program-passed-over",
      "node-packed",
      "node-sent",
      "program-tried",
      "bundle-sent",
    ]);
    const progress = machines.events.filter((event) => event.type === "progress");
    expect(progress.at(-1)).toMatchObject({ stage: "sending", current: (progress.at(-1) as { total: number }).total });
    const kept = [expect.stringMatching(/^bundle-/), expect.stringMatching(/^node-[0-9a-f]{64}$/)];
    expect((await readdir(machines.home)).filter((name) => /^(?:bundle|node)-/.test(name))).toEqual(kept);
    expect(await readdir(machines.here)).toEqual([expect.stringMatching(/^sent-node-.*\.gz$/)]);

    const second = await machines.start(false);
    expect(second).toMatchObject({
      started: tunnel,
      codes: ["command-started", "command-answered", "program-passed-over", "program-tried"],
    });

    for (const name of await readdir(machines.home)) await execa`rm -rf ${join(machines.home, name)}`;
    const asked = await machines.start(true, "y");
    expect(asked).toMatchObject({
      started: tunnel,
      questions: [
        expect.stringMatching(
          /^no Node on prod can run docker-over-ssh: send one, [\d.]+ MB, once\? \(--far engine does not ask\) \[y\/N\] $/,
        ),
      ],
    });
    expect(asked.codes).not.toContain("node-packed");

    // A compressed file that is damaged on this side arrives damaged, and is created again.
    const [packed = ""] = await readdir(machines.here);
    await execa`truncate -s 1000 ${join(machines.here, packed)}`;
    for (const name of await readdir(machines.home)) await execa`rm -rf ${join(machines.home, name)}`;
    expect((await machines.start(false)).started).toMatchObject({
      message: expect.stringContaining("node-sent: the Node that arrived is not the one that was sent") as string,
    });
    expect(await readdir(machines.here)).toEqual([]);
    expect(await readdir(machines.home)).toEqual([]);
  });

  test.each([undefined, "", "n", "no", "x"])(
    "Node is not sent where the question is answered with %j",
    async (typed) => {
      await using machines = await twoMachines();
      const { started, questions, codes } = await machines.start(true, typed);
      expect(started).toMatchObject({
        message: expect.stringContaining("node-sent: sending it was declined") as string,
      });
      expect(questions).toEqual([
        "no Node on prod can run docker-over-ssh: send one, 40 MB, once? (--far engine does not ask) [y/N] ",
      ]);
      expect(codes).not.toContain("node-packed");
      expect(await readdir(machines.here)).toEqual([]);
    },
  );
});

test("a question without an answer for 60 s counts as answered with no", async () => {
  vi.useFakeTimers();
  await using folder = await temporaryFolder();
  const context = {
    output: outputTo(() => {}),
    signal: new AbortController().signal,
    env: { XDG_CACHE_HOME: folder.path },
  };
  const connection = hostConnection("prod", { protocol: "ssh", hostname: "prod" }, { mayPrompt: true }, {});
  const asked = deferred<AbortSignal>();
  const sentNode = new SentNode(connection, context, async (_, signal) => {
    asked.resolve(signal);
    return await new Promise((_resolve, reject) =>
      signal.addEventListener("abort", () => reject(signal.reason as Error)),
    );
  });
  const answer = sentNode.answer({ kernel: "Linux", machine: "x86_64", bits: "64", libc: "glibc 2.36" });
  const signal = await asked.promise;
  await vi.advanceTimersByTimeAsync(59_000);
  expect(signal.aborted).toBe(false);
  await vi.advanceTimersByTimeAsync(1000);
  expect(await answer).toBe("no sending it was declined");
});
