import { describe, expect, test } from "vitest";
import { NoiseFilter, NotHttp } from "../../../../src/engine/connect/noise-filter.ts";

const ANSWER = "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\n\r\nOK";

/** Returns the output of the filter for input in chunks. */
function filtered(...portions: string[]): { answer: string; filter: NoiseFilter } {
  const filter = new NoiseFilter();
  const parts = portions.flatMap((portion) => filter.take(Buffer.from(portion)) ?? []);
  return { answer: Buffer.concat(parts).toString(), filter };
}

test("an answer without noise passes unchanged", () => {
  const { answer, filter } = filtered(ANSWER);
  expect(answer).toBe(ANSWER);
  expect(filter).toMatchObject({ noise: "", passed: true });
});

test.each(["Welcome to prod\n", "Last login: today", "HTTP is spoken here\n", "\u0000\u00ff HTTP/1.1 is not "])(
  "%j before it is skipped, however it is split",
  (banner) => {
    const text = `${banner}${ANSWER}`;
    for (let at = 0; at <= text.length; at++) {
      const { answer, filter } = filtered(text.slice(0, at), text.slice(at));
      expect({ answer, noise: filter.noise }).toEqual({ answer: ANSWER, noise: banner });
    }
  },
);

test("bytes after the first answer pass unchecked", () => {
  expect(filtered(`banner\n${ANSWER}`, "noise?", ANSWER).answer).toBe(`${ANSWER}noise?${ANSWER}`);
});

test("without an answer, the noise is stored, up to 64 kB", () => {
  expect(filtered("bash: docker: ", "command not found\n").filter).toMatchObject({
    noise: "bash: docker: command not found\n",
    passed: false,
  });
  const filter = new NoiseFilter();
  expect(() => {
    for (;;) filter.take(Buffer.alloc(4096, "y\n"));
  }).toThrow(NotHttp);
});

test("ignores an answer after more noise", () => {
  expect(() => filtered(`${"y\n".repeat(40_000)}${ANSWER}`)).toThrow(/more than 64 kB of other text/);
});

describe("an answer in HTTP/2", () => {
  /** A SETTINGS frame with `count` settings (RFC 9113, 6.5). */
  function settings(count: number): Buffer {
    const frame = Buffer.alloc(9 + 6 * count, "HTTP/2");
    frame.writeUIntBE(6 * count, 0, 3);
    frame.writeUIntBE(4, 3, 1);
    frame.fill(0, 4, 9);
    return frame;
  }

  test.each([0, 1, 4, 15])("begins with %i settings, regardless of the chunks", (count) => {
    const answer = settings(count);
    for (const noise of ["", "Welcome to prod\n", "Last login: \0today", "\0"]) {
      const all = Buffer.concat([Buffer.from(noise), answer]);
      for (let at = 0; at <= all.length; at++) {
        const filter = new NoiseFilter();
        const parts = [all.subarray(0, at), all.subarray(at)].flatMap((portion) => filter.take(portion) ?? []);
        expect({ answer: Buffer.concat(parts), noise: filter.noise }).toEqual({ answer, noise });
      }
    }
  });

  test("does not begin with another frame, or with a frame of a stream", () => {
    const [ack, ping, ofStream, odd] = [settings(0), settings(1), settings(1), settings(1)];
    ack.writeUInt8(1, 4);
    ping.writeUInt8(6, 3);
    ofStream.writeUInt32BE(1, 5);
    odd.writeUIntBE(7, 0, 3);
    for (const frame of [ack, ping, ofStream, odd]) {
      const filter = new NoiseFilter();
      expect(filter.take(frame)).toBeUndefined();
      expect(filter.passed).toBe(false);
    }
  });
});
