import { runInside, type Machine } from "./machine.ts";
import type { Wire } from "./network.ts";

/** Bytes, including the headers of Ethernet, IP and TCP. */
export interface Traffic {
  toFar: number;
  toNear: number;
}

/** Returns the bytes on the wire since the wire was created. */
export async function countBytes(near: Machine, { device }: Wire): Promise<Traffic> {
  const { stdout } = await runInside(near, "ip", ["-json", "-statistics", "link", "show", device]);
  const [link] = JSON.parse(stdout) as [{ stats64: Record<"rx" | "tx", { bytes: number }> }];
  return { toFar: link.stats64.tx.bytes, toNear: link.stats64.rx.bytes };
}

/** Limits both directions to this number of megabits per second; `undefined` removes the limit. */
export async function limitRate(ends: { machine: Machine; device: string }[], mbit: number | undefined): Promise<void> {
  await Promise.all(
    ends.map(async ({ machine, device }) => {
      // tbf(8): the bucket must hold at least the bytes of one clock tick (10 ms).
      const burst = Math.max(32_768, Math.ceil(((mbit ?? 0) * 1e6) / 8 / 100));
      const command =
        mbit === undefined
          ? `tc qdisc del dev ${device} root 2>/dev/null || true`
          : `tc qdisc replace dev ${device} root tbf rate ${mbit}mbit burst ${burst} latency 50ms`;
      await runInside(machine, "sh", ["-c", command]);
    }),
  );
}
