import { expect, test } from "vitest";
import { NoiseFilter, NotHttp } from "../../../src/engine/noise.ts";

const ANSWER = "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\n\r\nOK";

/** What is left of what comes in portions. */
function filtered(...portions: string[]): { answer: string; filter: NoiseFilter } {
  const filter = new NoiseFilter();
  const parts = portions.flatMap((portion) => filter.take(Buffer.from(portion)) ?? []);
  return { answer: Buffer.concat(parts).toString(), filter };
}

test("an answer alone passes as it is", () => {
  const { answer, filter } = filtered(ANSWER);
  expect(answer).toBe(ANSWER);
  expect(filter).toMatchObject({ noise: "", passed: true });
});

test.each(["Welcome to prod\n", "Last login: today", "HTTP is spoken here\n", "\u0000\u00ff HTTP/1.1 is not "])(
  "%j before it is passed over, wherever the portions end",
  (banner) => {
    const text = `${banner}${ANSWER}`;
    for (let at = 0; at <= text.length; at++) {
      const { answer, filter } = filtered(text.slice(0, at), text.slice(at));
      expect({ answer, noise: filter.noise }).toEqual({ answer: ANSWER, noise: banner });
    }
  },
);

test("what follows the first answer is not looked at", () => {
  expect(filtered(`banner\n${ANSWER}`, "noise?", ANSWER).answer).toBe(`${ANSWER}noise?${ANSWER}`);
});

test("without an answer, what came is known, and no more than 64 kB of it", () => {
  expect(filtered("bash: docker: ", "command not found\n").filter).toMatchObject({
    noise: "bash: docker: command not found\n",
    passed: false,
  });
  const filter = new NoiseFilter();
  expect(() => {
    for (;;) filter.take(Buffer.alloc(4096, "y\n"));
  }).toThrow(NotHttp);
});

test("nor is an answer behind more than that taken for one", () => {
  expect(() => filtered(`${"y\n".repeat(40_000)}${ANSWER}`)).toThrow(/more than 64 kB of something else/);
});
