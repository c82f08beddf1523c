import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import type { Note } from "../../../src/output/events.ts";
import { outputTo } from "../../../src/output/output.ts";
import { hostConnection } from "../../../src/commands/options/host-options.ts";
import { runOnHost } from "../../../src/remote/login/run-on-host.ts";
import { LoginQueue } from "../../../src/run-batch/login-queue.ts";
import { deferred } from "../../../src/streams/deferred.ts";

const quiet = outputTo(() => {});
const settle = async (): Promise<void> => await setImmediate();

/** Plays the transfer with a host, whose logins are steps of the test. Records in `log` when each login may ask. */
function hostOf(queue: LoginQueue, name: string, log: string[]) {
  const over = deferred<void>();
  const own = deferred<Parameters<Parameters<LoginQueue["run"]>[1]>[0]>();
  const run = queue.run(quiet, async (given) => {
    own.resolve(given);
    await over.promise;
  });
  return {
    login: async (what = "login") => {
      const leave = await (await own.promise).login();
      log.push(`${name}: ${what}`);
      return leave;
    },
    answer: async () => (await own.promise).output.detail({ code: "tunnel-opened", peerVersion: "0.2.0" }),
    tell: async (note: Note) => (await own.promise).output.note(note),
    end: async () => {
      over.resolve();
      await run;
    },
  };
}

test("logins take turns, including those of a further connection and of --run", async () => {
  const queue = new LoginQueue(() => true);
  const log: string[] = [];
  const [a, b] = [hostOf(queue, "a", log), hostOf(queue, "b", log)];
  await a.login();
  const logins = [b.login()];
  await settle();
  expect(log).toEqual(["a: login"]);
  await a.login("of the content store"); // within its turn
  await a.answer();
  await settle();
  const ofRun = a.login("of --run");
  await settle();
  expect(log).toEqual(["a: login", "a: of the content store", "b: login"]);
  await b.answer();
  await settle();
  expect(log.at(-1)).toBe("a: of --run");
  logins.push(b.login("of --run"));
  await settle();
  expect(log.at(-1)).toBe("a: of --run");
  (await ofRun)(); // the command has started
  await Promise.all(logins);
  expect(log.at(-1)).toBe("b: of --run");
  await Promise.all([a.end(), b.end()]);
});

test("a transfer that ends gives up its turn", async () => {
  const queue = new LoginQueue(() => true);
  const log: string[] = [];
  const [a, b] = [hostOf(queue, "a", log), hostOf(queue, "b", log)];
  await a.login();
  const next = b.login();
  await a.end();
  await next;
  expect(log).toEqual(["a: login", "b: login"]);
  await b.end();
});

test.each<Note>([
  { code: "connecting-in", seconds: 30, error: "no route to host" },
  { code: "watching", images: ["app:dev"] },
])("a watch gives up its turn while it waits: $code", async (note) => {
  const queue = new LoginQueue(() => true);
  const log: string[] = [];
  const [a, b] = [hostOf(queue, "a", log), hostOf(queue, "b", log)];
  await a.login();
  const next = b.login();
  await a.tell(note);
  await next;
  expect(log).toEqual(["a: login", "b: login"]);
  await Promise.all([a.end(), b.end()]);
});

test("a command of --run whose login fails gives up its turn", async () => {
  const queue = new LoginQueue(() => true);
  const log: string[] = [];
  const [a, b] = [hostOf(queue, "a", log), hostOf(queue, "b", log)];
  const connection = hostConnection("ssh://a", { protocol: "ssh", hostname: "a" }, { ssh: ["false"] }, {});
  const context = { output: quiet, signal: new AbortController().signal, env: {} };
  const ran = runOnHost("true", connection, {}, { ...context, login: async () => await a.login() });
  await expect(ran).rejects.toMatchObject({ code: "run-failed" });
  await b.login();
  expect(log).toEqual(["a: login", "b: login"]);
  await Promise.all([a.end(), b.end()]);
});

test("no login waits without a terminal", async () => {
  const queue = new LoginQueue(() => false);
  const log: string[] = [];
  const hosts = [hostOf(queue, "a", log), hostOf(queue, "b", log)];
  for (const host of hosts) await host.login();
  expect(log).toEqual(["a: login", "b: login"]);
  for (const host of hosts) await host.end();
});
