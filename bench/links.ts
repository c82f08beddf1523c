/** The link between the two machines: a veth pair, each end limited by a token bucket (tbf). No delay is added. */
export interface Link {
  name: string;
  title: string;
  /** Megabits per second in each direction. */
  mbit?: number;
  /** A limit in seconds. A run whose bytes alone are known to need more is skipped. */
  patience?: number;
}

/** The fastest link first, because the bytes that cross it predict the time on a slower link. */
export const LINKS: Link[] = [
  { name: "loopback", title: "no limit" },
  { name: "100mbit", title: "100 Mbit/s", mbit: 100 },
  { name: "10mbit", title: "10 Mbit/s", mbit: 10, patience: 240 },
];

/** Returns why a run with this number of bytes is skipped, or undefined. */
export function tooSlow({ mbit, patience, title }: Link, bytes: number | undefined): string | undefined {
  if (mbit === undefined || patience === undefined || bytes === undefined) return undefined;
  const seconds = (bytes * 8) / (mbit * 1e6);
  return seconds > patience
    ? `left out: ${(bytes / 1e6).toFixed(0)} MB take ${seconds.toFixed(0)} s at ${title}`
    : undefined;
}
