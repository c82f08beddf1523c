/** A link that takes much longer than the silence limit to carry its data is alive. PROTOCOL.md, 5. */
import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { StdioTransport } from "../../../src/stdio-tunnel/transport.ts";
import { readAtRate, writeAtRate } from "../../../src/streams/rate.ts";
import { pseudoRandom, sha256 } from "../../fixtures/remote/pseudo-random.ts";
import { tunnelPair } from "./carriers.ts";

const RATE = 40_000;
/** ms; four ticks. Ten of them are much less than the data takes. */
const SILENCE = 400;
const BYTES = 120_000;

test.each(["the end that sends", "the end that receives", "both"])(
  "stays alive if slowed down by %s: answers wait behind the data, signs of life do not",
  async (who) => {
    const [there, back] = [new PassThrough(), new PassThrough()];
    const sends = who === "the end that receives" ? undefined : RATE;
    const receives = who === "the end that sends" ? undefined : RATE;
    const { sender, receiver } = await tunnelPair(
      [
        new StdioTransport(readAtRate(there, sends), writeAtRate(back, sends)),
        new StdioTransport(readAtRate(back, receives), writeAtRate(there, receives)),
      ],
      SILENCE,
    );
    sender.listen("random", (stream) => void pseudoRandom(1, BYTES).pipe(stream.resume()));
    expect(await sha256(receiver.connect("random").end())).toBe(await sha256(pseudoRandom(1, BYTES)));
    expect([sender.signal.aborted, receiver.signal.aborted]).toEqual([false, false]);
    await Promise.all([sender.close(), receiver.close()]);
  },
);
