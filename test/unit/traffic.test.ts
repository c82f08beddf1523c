import { expect, test } from "vitest";
import { DividedTraffic } from "../../src/traffic.ts";

test("divides the traffic of a connection among its transfers, and counts the bytes of a failed transfer for none", async () => {
  const traffic = { bytesSent: 7, bytesReceived: 3, program: "node" as const }; // the traffic that opens the connection
  const divided = new DividedTraffic(traffic);
  const move = async (bytes: number) =>
    await divided.use(async (own) => {
      traffic.bytesSent += bytes;
      traffic.bytesReceived += 1;
      expect(own.program).toBe("node");
      return await Promise.resolve({ bytesSent: own.bytesSent, bytesReceived: own.bytesReceived });
    });

  const first = await move(100);
  traffic.bytesSent += 5; // between two transfers
  const second = await move(200);
  expect([first, second]).toEqual([
    { bytesSent: 107, bytesReceived: 4 },
    { bytesSent: 205, bytesReceived: 1 },
  ]);
  expect(first.bytesSent + second.bytesSent).toBe(traffic.bytesSent);

  const failed = divided.use(async () => {
    traffic.bytesSent += 1000;
    return await Promise.reject(new Error("failed"));
  });
  await expect(failed).rejects.toThrow("failed");
  expect(await move(300)).toEqual({ bytesSent: 300, bytesReceived: 1 });
});
