import { Duplex, duplexPair } from "node:stream";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { answerQuestions, questionsOver } from "../../../src/build/questions.ts";
import { LogSender, receiveLog } from "../../../src/build/log-stream.ts";
import type { BuildAnswers, BuildEvent } from "../../../src/engine/engine-builder.ts";
import { runBothSides } from "../../../src/stdio-tunnel/in-process.ts";
import type { Tunnel } from "../../../src/stdio-tunnel/session.ts";

const options = { tool: "1.2.3", signal: new AbortController().signal };

/** Runs the builder's side against an initiator that answers. Returns the registries whose credentials were sent. */
async function ask(answers: Partial<BuildAnswers>, builder: (ask: BuildAnswers) => Promise<void>): Promise<string[]> {
  const usedRegistries: string[] = [];
  const none: BuildAnswers = {
    credentials: async () => await Promise.resolve(undefined),
    secret: async () => await Promise.resolve(undefined),
    agent: async () => await Promise.reject(new Error("no --ssh is given")),
  };
  await runBothSides(
    {
      async sender(tunnel) {
        await builder(questionsOver(tunnel));
        await tunnel.send({ type: "built" });
        await tunnel.result();
      },
      async receiver(tunnel) {
        answerQuestions(tunnel, { ...none, ...answers }, (registry) => usedRegistries.push(registry));
        await tunnel.next("built");
        await tunnel.finish({});
      },
    },
    options,
  );
  return usedRegistries;
}

test("credentials reach the builder, and their use is reported for each registry", async () => {
  const credentials = { username: "me", password: "secret" };
  const usedRegistries = await ask(
    {
      credentials: async (host) =>
        await Promise.resolve(host.includes("registry.example.com") ? credentials : undefined),
    },
    async (builder) => {
      expect(await builder.credentials("registry.example.com")).toEqual(credentials);
      expect(await builder.credentials("https://registry.example.com/v2/")).toEqual(credentials);
      expect(await builder.credentials("other.example.com")).toBeUndefined();
    },
  );
  expect(usedRegistries).toEqual(["registry.example.com"]);
});

test("a secret arrives byte for byte, even with half a megabyte", async () => {
  const secret = Buffer.alloc(500 * 1024, 255);
  await ask({ secret: async (id) => await Promise.resolve(id === "npm" ? secret : undefined) }, async (builder) => {
    expect((await builder.secret("npm"))?.equals(secret)).toBe(true);
    expect(await builder.secret("other")).toBeUndefined();
  });
});

test("an ssh agent is reachable through the tunnel, in both directions", async () => {
  const agent = async (): Promise<Duplex> => {
    const [here, there] = duplexPair();
    there.once("data", (question: Buffer) => there.end(`answer to ${question.toString()}`));
    return await Promise.resolve(here);
  };
  await ask({ agent }, async (builder) => {
    const stream = await builder.agent("default");
    stream.write("a question");
    expect(await text(stream)).toBe("answer to a question");
    stream.end();
  });
});

test("questions without end, one after the other, end the build", async () => {
  const asked = ask({}, async (builder) => {
    for (let count = 0; count < 10_100; count += 1) await builder.secret("npm");
  });
  await expect(asked).rejects.toThrow("asks more questions than a build needs");
});

test("a question that the initiator cannot answer fails with the initiator's message", async () => {
  const secret = async (): Promise<Buffer> => await Promise.reject(new Error("there is no file .npmrc"));
  await ask({ secret }, async (builder) => {
    await expect(builder.secret("npm")).rejects.toThrow("there is no file .npmrc");
    await expect(builder.agent("default")).rejects.toThrow("no --ssh is given");
  });
});

/** Sends events from the builder's side. Returns those that arrive. */
async function log(send: (tunnel: Tunnel) => Promise<void>): Promise<BuildEvent[]> {
  const events: BuildEvent[] = [];
  await runBothSides(
    {
      async sender(tunnel) {
        await send(tunnel);
        await tunnel.result();
      },
      async receiver(tunnel) {
        await tunnel.next("builder");
        await receiveLog(tunnel, (event) => events.push(event));
        await tunnel.finish({});
      },
    },
    options,
  );
  return events;
}

test("events of a build arrive in order, including those from before the stream opened", async () => {
  const sent: BuildEvent[] = [
    {
      type: "step",
      step: "a",
      name: "[1/2] FROM busybox",
      started: 1,
      completed: undefined,
      isCached: false,
      error: undefined,
    },
    { type: "step-log", step: "a", stream: "stderr", text: "half a li", at: 2 },
    { type: "build-text", text: "Step 1/2" },
  ];
  const events = await log(async (tunnel) => {
    const sender = new LogSender(tunnel);
    for (const event of sent) sender.send(event);
    await tunnel.send({ type: "builder" });
    await sender.end();
  });
  expect(events).toEqual(sent);
});

/** Returns the events that an initiator receives if it does not read before all have been sent. */
async function slowReader(send: (sender: LogSender) => void): Promise<string> {
  let written = "";
  let goOn = (): void => {};
  const stream = new Duplex({
    read: () => {},
    write(chunk: Buffer, _, done) {
      written += chunk.toString();
      goOn = done;
    },
    final: (done) => done(),
  });
  const sender = new LogSender({ listen: (_: string, accept: (opened: Duplex) => void) => accept(stream) } as Tunnel);
  send(sender);
  expect(stream.writableLength).toBeLessThan(10 * 1024 * 1024);
  stream._write = (chunk: Buffer, _, done) => {
    written += chunk.toString();
    done();
  };
  const ended = sender.end();
  goOn();
  stream.push(null);
  await ended;
  return written;
}

test.each<BuildEvent>([
  { type: "step-log", step: "a", stream: "stdout", text: "y\n".repeat(10_000) },
  { type: "build-text", text: "y\n".repeat(10_000) },
])(
  "drops log lines if the link is slower than the log, instead of using more memory, and reports it: $type",
  async (event) => {
    const written = await slowReader((sender) => {
      for (let count = 0; count < 1000; count += 1) sender.send(event);
    });
    expect(written).toMatch(/\[\d+ characters are omitted: the link is slower than the log\]\\n"\}\n$/);
  },
);

test("truncates the text of an instruction to the limit of the initiator", async () => {
  const name = `[1/2] RUN ${"x".repeat(100_000)}`;
  const [event] = await log(async (tunnel) => {
    const sender = new LogSender(tunnel);
    sender.send({ type: "step", step: "a", name, error: name });
    await tunnel.send({ type: "builder" });
    await sender.end();
  });
  expect(event).toMatchObject({ name: name.slice(0, 4096), error: name.slice(0, 16_384) });
});

test.each([
  { type: "step", step: "x".repeat(2000), name: "a" },
  { type: "step", step: "a", name: "x".repeat(5000) },
  { type: "step-progress", step: "a", id: "x".repeat(2000), current: 0, total: 0 },
])("limits a text that would be stored", async (event) => {
  const events = log(async (tunnel) => {
    tunnel.listen("build-log", (stream) => void stream.end(`${JSON.stringify(event)}\n`));
    await tunnel.send({ type: "builder" });
  });
  await expect(events).rejects.toThrow("a malformed event of a build");
});

test.each(["null", "[]", '{"type":"shell"}', '{"type":"step-log","step":1}', "{"])(
  "a line that is no event ends the build: %s",
  async (line) => {
    const events = log(async (tunnel) => {
      tunnel.listen("build-log", (stream) => void stream.end(`${line}\n`));
      await tunnel.send({ type: "builder" });
    });
    await expect(events).rejects.toThrow("a malformed event of a build");
  },
);
