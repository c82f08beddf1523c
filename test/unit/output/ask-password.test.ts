import { expect, test, vi } from "vitest";
import { askOnTerminal } from "../../../src/output/ask-on-terminal.ts";
import { askPassword } from "../../../src/output/ask-password.ts";

vi.mock("../../../src/output/ask-on-terminal.ts", () => ({ askOnTerminal: vi.fn<typeof askOnTerminal>() }));

test("a question that is withdrawn fails with the reason, and not for want of a terminal", async () => {
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

test("without a terminal it says so", async () => {
  vi.mocked(askOnTerminal).mockRejectedValue(new Error("ENXIO"));
  await expect(askPassword("password: ", new AbortController().signal)).rejects.toMatchObject({
    code: "engine-unreachable",
    message: expect.stringContaining("there is no terminal") as string,
  });
});
