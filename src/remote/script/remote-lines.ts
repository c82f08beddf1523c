import { parsePlatform, type Platform } from "../../image/platform.ts";
import type { RemoteProgram } from "../../request.ts";

/** The lines that the remote script and the bootstrap write to stdout for the initiator. Each begins with the marker. */

/** Bytes that a login shell may print before it runs the script, and a program before its hello. */
export const MAX_NOISE = 64 * 1024;

export const MARKER = "#docker-over-ssh#remote#";

/**
 * Environment variable of a docker-over-ssh that the remote script starts. Whoever sends the script chooses all of its words, so this side
 * may do what its words do not name: get other images, and give them further names.
 */
export const STARTED_BY_SCRIPT = "DOCKER_OVER_SSH_BY_SCRIPT";

/** Exit status of the bootstrap where this Node does not suit. The bootstrap has written why. */
export const PASSED_OVER = 96;

/** A program whose tunnel comes behind the lines. */
export type TunnelProgram = Exclude<RemoteProgram, "engine">;

/** A program for which the script asks for further blocks. */
export type FurtherProgram = "container" | "node-sent";

/** What the script tells of the system there. */
export interface RemoteSystem {
  /** `uname -s` */
  kernel: string;
  /** `uname -m` */
  machine: string;
  /** Bits of the programs there: a 64-bit kernel may run a 32-bit system. */
  bits: string;
  /** `glibc 2.36` or `musl` where the script knows it */
  libc: string;
}

/** A line from the remote side. */
export type RemoteLine =
  /** A program does not suit, or cannot be started. */
  | { kind: "pass"; program: string; reason: string }
  /** A program is started. `what`: its path, or the image. */
  | { kind: "try"; program: TunnelProgram; what: string }
  /** The bootstrap wants the bundle. */
  | { kind: "send" }
  /** The bootstrap becomes docker-over-ssh. */
  | { kind: "run"; isKept: boolean }
  /** An image is pulled there. */
  | { kind: "pull"; image: string }
  /** The remote side cannot get the image, and waits for an answer: `sent`, or another word. Without a valid platform, none is sent. */
  | { kind: "image"; platform: Platform | undefined }
  /** The script wants the further blocks for a program. */
  | { kind: "more"; program: FurtherProgram }
  /** The system there, for which Node may be sent. It waits for an answer: `node SHA256 PACKED-SIZE SIZE`, or `no REASON`. */
  | { kind: "system"; system: RemoteSystem }
  /** That Node is not in the cache folder there. It waits for an answer: `send` and the packed Node, or `no REASON`. */
  | { kind: "send-node" }
  /** The bytes after this line are the engine's. docker also gives its API version, if the engine answered. */
  | { kind: "engine"; program: "docker" | "podman"; apiVersion?: string }
  /** There is no program left. */
  | { kind: "nothing"; path: string };

/** Finds the first marker line in the text that has come so far; undefined until it is complete. */
export function findMarker(text: string): { start: number; end: number; words: string } | undefined {
  const start = text.indexOf(`${MARKER} `);
  const end = start === -1 ? -1 : text.indexOf("\n", start);
  if (end === -1) return undefined;
  return { start, end: end + 1, words: text.slice(start + MARKER.length + 1, end).trim() };
}

const TUNNEL_PROGRAMS: readonly TunnelProgram[] = ["installed", "node", "container", "node-sent"];

/** Parses the words behind a marker; undefined for a line that neither program writes. */
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
      return { kind, isKept: first === "kept" };
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
      // podman behind the name of docker prints other words.
      return first === "docker"
        ? { kind, program: first, ...(/^\d+\.\d+$/.test(rest) && { apiVersion: rest }) }
        : undefined;
    case "nothing":
      return { kind, path: [first, ...more].join(" ") };
    default:
      return undefined;
  }
}
