/** The link between the two machines: a veth pair, each end limited by a token bucket (tbf). No delay is added. */
export interface Link {
  name: string;
  title: string;
  /** Megabits per second in each direction. */
  mbit?: number;
  /** Seconds; a run known to need more for its bytes alone is left out. */
  patience?: number;
}

/** Fastest first: the bytes that cross a fast link predict the time on a slower one. */
export const LINKS: Link[] = [
  { name: "loopback", title: "no limit" },
  { name: "100mbit", title: "100 Mbit/s", mbit: 100 },
  { name: "10mbit", title: "10 Mbit/s", mbit: 10, patience: 240 },
];

/** Returns why a run with this many bytes is left out, or undefined. */
export function tooSlow({ mbit, patience, title }: Link, bytes: number | undefined): string | undefined {
  if (mbit === undefined || patience === undefined || bytes === undefined) return undefined;
  const seconds = (bytes * 8) / (mbit * 1e6);
  return seconds > patience
    ? `left out: ${(bytes / 1e6).toFixed(0)} MB take ${seconds.toFixed(0)} s at ${title}`
    : undefined;
}
