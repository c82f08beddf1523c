/** The programs that can run docker-over-ssh on the remote side, the best first. A tunnel leads to them. */
export const TUNNEL_PROGRAMS = [
  /** The installed docker-over-ssh of the host */
  "installed",
  /** The host's Node, to which this docker-over-ssh is sent */
  "node",
  /** The same in a container */
  "container",
  /** The same, and Node is also sent */
  "node-sent",
] as const;

/** A program that runs docker-over-ssh on the remote side. */
export type TunnelProgram = (typeof TUNNEL_PROGRAMS)[number];

/** A program that can run the remote side. `engine`: the engine alone; both sides run in this process. */
export type RemoteProgram = TunnelProgram | "engine";

/** The values of --far except auto, the best first. */
export const REMOTE_PROGRAMS: readonly RemoteProgram[] = [...TUNNEL_PROGRAMS, "engine"];
