/** What is between the two machines: a veth pair, each end with a bucket (tbf) as a limit. No delay is added. */
export interface Link {
  name: string;
  title: string;
  /** Megabits per second, each way. */
  mbit?: number;
  /** A run that is known to need more seconds for its bytes alone is left out. */
  patience?: number;
}

/** From the fastest: what crossed it tells how long a slower one would take. */
export const LINKS: Link[] = [
  { name: "loopback", title: "no limit" },
  { name: "100mbit", title: "100 Mbit/s", mbit: 100 },
  { name: "10mbit", title: "10 Mbit/s", mbit: 10, patience: 240 },
];

/** Why it is no use to begin, when so many bytes have to pass. */
export function tooSlow({ mbit, patience, title }: Link, bytes: number | undefined): string | undefined {
  if (mbit === undefined || patience === undefined || bytes === undefined) return undefined;
  const seconds = (bytes * 8) / (mbit * 1e6);
  return seconds > patience
    ? `left out: ${(bytes / 1e6).toFixed(0)} MB take ${seconds.toFixed(0)} s at ${title}`
    : undefined;
}
