import { expect, test, vi } from "vitest";
import { askOnTerminal } from "../../../src/output/ask-on-terminal.ts";
import { askPassword } from "../../../src/output/ask-password.ts";

vi.mock("../../../src/output/ask-on-terminal.ts", () => ({ askOnTerminal: vi.fn<typeof askOnTerminal>() }));

test("a withdrawn question fails with the reason, not because of a missing terminal", async () => {
  const controller = new AbortController();
  vi.mocked(askOnTerminal).mockImplementation(async (_, { signal }) => {
    await new Promise((resolve) => signal?.addEventListener("abort", resolve));
    throw signal?.reason;
  });
  const asked = askPassword("password: ", controller.signal);
  const reason = new Error("interrupted");
  controller.abort(reason);
  await expect(asked).rejects.toBe(reason);
});

test("reports a missing terminal", async () => {
  vi.mocked(askOnTerminal).mockRejectedValue(new Error("ENXIO"));
  await expect(askPassword("password: ", new AbortController().signal)).rejects.toMatchObject({
    code: "engine-unreachable",
    message: expect.stringContaining("there is no terminal") as string,
  });
});
