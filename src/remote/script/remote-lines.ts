import { parsePlatform, type Platform } from "../../image/platform.ts";
import { TUNNEL_PROGRAMS, type TunnelProgram } from "../../output/remote-programs.ts";

/** The lines that the remote script and the bootstrap write to stdout for the initiator. Each begins with the marker. */

/** Maximum bytes that a login shell may print before it runs the script, or a program before its hello. */
export const MAX_NOISE = 64 * 1024;

export const MARKER = "#docker-over-ssh#remote#";

/**
 * Environment variable of a docker-over-ssh that the remote script starts. The sender of the script chooses all of its words, so this side
 * may do things that its words do not name: receive other images, and give them further names.
 */
export const STARTED_BY_SCRIPT = "DOCKER_OVER_SSH_BY_SCRIPT";

/** Exit status of the bootstrap if this Node cannot be used. The bootstrap has written the reason. */
export const SKIPPED_STATUS = 96;

/** The words with which the reason for skipping a program begins if the user may not use the engine's socket. The socket's path follows. */
export const NO_ACCESS = "this user may not use";

/** A program for which the script requests further blocks. */
export type FurtherProgram = Extract<TunnelProgram, "container" | "node-sent">;

/** The script's description of the remote system. */
export interface RemoteSystem {
  /** `uname -s` */
  kernel: string;
  /** `uname -m` */
  machine: string;
  /** Bits of the system's programs: a 64-bit kernel may run a 32-bit system. */
  bits: string;
  /** `glibc 2.36` or `musl`, if the script can find out */
  libc: string;
}

/** A line from the remote side. */
export type RemoteLine =
  /** A program cannot be used or started. */
  | { kind: "pass"; program: string; reason: string }
  /** A program is started. `what`: its path, or the image. */
  | { kind: "try"; program: TunnelProgram; what: string }
  /** The bootstrap requests the bundle. */
  | { kind: "send" }
  /** The bootstrap runs docker-over-ssh. */
  | { kind: "run"; isCached: boolean }
  /** The remote engine pulls an image. */
  | { kind: "pull"; image: string }
  /** The remote side cannot get the image, and waits for an answer: `sent`, or another word. Without a valid platform, none is sent. */
  | { kind: "image"; platform: Platform | undefined }
  /** The script requests the further blocks for a program. */
  | { kind: "more"; program: FurtherProgram }
  /** The remote system, for which Node may be sent. The script waits for an answer: `node SHA256 PACKED-SIZE SIZE`, or `no REASON`. */
  | { kind: "system"; system: RemoteSystem }
  /** That Node is not in the remote cache folder. The script waits for an answer: `send` and the packed Node, or `no REASON`. */
  | { kind: "send-node" }
  /** The bytes after this line are the engine's. With docker, the API version is present if the engine answered. */
  | { kind: "engine"; program: "docker" | "podman"; apiVersion?: string }
  /** No program is left. */
  | { kind: "nothing"; path: string };

/** Finds the first marker line in the text received so far; returns undefined until the line is complete. */
export function findMarker(text: string): { start: number; end: number; words: string } | undefined {
  const start = text.indexOf(`${MARKER} `);
  const end = start === -1 ? -1 : text.indexOf("\n", start);
  if (end === -1) return undefined;
  return { start, end: end + 1, words: text.slice(start + MARKER.length + 1, end).trim() };
}

/** Parses the words after a marker; returns undefined for a line that neither program writes. */
export function parseRemoteLine(words: string): RemoteLine | undefined {
  const [kind = "", first = "", ...more] = words.split(" ");
  const rest = more.join(" ");
  switch (kind) {
    case "pass":
      return { kind, program: first, reason: rest };
    case "try": {
      const program = TUNNEL_PROGRAMS.find((name) => name === first);
      return program && { kind, program, what: rest };
    }
    case "send":
    case "send-node":
      return { kind };
    case "more":
      return first === "container" || first === "node-sent" ? { kind, program: first } : undefined;
    case "run":
      return { kind, isCached: first === "kept" };
    case "pull":
      return { kind, image: first };
    case "image":
      return { kind, platform: parsePlatform(first) };
    case "system": {
      const [machine = "", bits = "", ...libc] = more;
      return { kind, system: { kernel: first, machine, bits, libc: libc.join(" ") } };
    }
    case "engine":
      if (first === "podman") return { kind, program: first };
      // podman under the name of docker prints other words.
      return first === "docker"
        ? { kind, program: first, ...(/^\d+\.\d+$/.test(rest) && { apiVersion: rest }) }
        : undefined;
    case "nothing":
      return { kind, path: [first, ...more].join(" ") };
    default:
      return undefined;
  }
}
