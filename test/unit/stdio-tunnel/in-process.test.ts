import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { Failure } from "../../../src/output/errors.ts";
import { runBothSides, runWithOtherSide, type Side } from "../../../src/stdio-tunnel/in-process.ts";

const options = { tool: "1.2.3", signal: new AbortController().signal };
/** Runs until the other side ends the tunnel. */
const waits: Side = async (tunnel) => void (await tunnel.next("never"));
const fails =
  (error: Error): Side =>
  async () =>
    await Promise.reject(error);

test("lets both sides exchange messages, as over any tunnel", async () => {
  let result: unknown;
  let confirmed: boolean | undefined;
  await runBothSides(
    {
      async sender(tunnel) {
        tunnel.listen("greeting", (stream) => stream.end("hello"));
        await tunnel.send({ type: "offer" });
        result = await tunnel.result();
      },
      async receiver(tunnel) {
        expect(tunnel.peer).toMatchObject({ role: "sender", tool: "1.2.3" });
        await tunnel.next("offer");
        const stream = tunnel.connect("greeting");
        stream.end();
        confirmed = await tunnel.finish({ id: await text(stream) });
      },
    },
    options,
  );
  expect({ result, confirmed }).toEqual({ result: { type: "result", id: "hello" }, confirmed: true });
});

test.each(["sender", "receiver"] as const)(
  "rejects with the failure of the %s, and ends the other side",
  async (role) => {
    const failure = new Failure("no-space", "the disk is full");
    const other = role === "sender" ? "receiver" : "sender";
    const halves = { [role]: fails(failure), [other]: waits } as Record<typeof role, Side>;
    await expect(runBothSides(halves, options)).rejects.toBe(failure);
  },
);

test.each(["sender", "receiver"] as const)("returns the result of the %s", async (role) => {
  const result = await runWithOtherSide(
    role,
    async ({ peer }) => `beside the ${peer.role}`,
    async () => {},
    options,
  );
  expect(result).toBe(`beside the ${role === "sender" ? "receiver" : "sender"}`);
});

test("also rejects with an unexpected error", async () => {
  const bug = new TypeError("x is not a function");
  await expect(runBothSides({ sender: waits, receiver: fails(bug) }, options)).rejects.toBe(bug);
});

test("ends both sides with the reason of a signal", async () => {
  const stop = new AbortController();
  const ended: string[] = [];
  const untilStopped =
    (name: string): Side =>
    async (_, signal) =>
      await new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => {
          ended.push(name);
          reject(signal.reason as Error);
        });
        if (name === "receiver") stop.abort(new Error("Ctrl-C"));
      });
  const halves = { sender: untilStopped("sender"), receiver: untilStopped("receiver") };
  await expect(runBothSides(halves, { ...options, signal: stop.signal })).rejects.toThrow("Ctrl-C");
  expect(ended).toEqual(["sender", "receiver"]);
});
