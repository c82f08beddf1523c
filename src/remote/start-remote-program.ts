import { Failure } from "../output/errors.ts";
import type { Output } from "../output/output.ts";
import type { HostConnection, TransferRequest } from "../request.ts";
import { MAGIC_LINE, PROTOCOL_VERSION } from "../stdio-tunnel/constants.ts";
import { readUntil } from "../streams/read-until.ts";
import { readPackedBundle } from "./bundle.ts";
import { withinAnswerTimeout, type RemoteCommand } from "./remote-command.ts";
import { engineUnreachable, nothingInstalled } from "./remote-errors.ts";
import { findMarker, parseRemoteLine, type RemoteLine, type RemoteProgram } from "./remote-lines.ts";

/** Bytes that a login shell may print before it runs the script, and a program before its hello. */
const MAX_NOISE = 64 * 1024;

/** ms for an image to be pulled there. */
const PULL_TIMEOUT = 10 * 60_000;

/** The program that the remote side has started. */
export type Started =
  /** docker-over-ssh, whose tunnel comes next. */
  | { kind: "tunnel"; program: Exclude<RemoteProgram, "engine"> }
  /** What follows is the engine. Of docker also its API version, if the engine answered. */
  | { kind: "engine"; program: "docker" | "podman"; apiVersion?: string | undefined };

export interface StartOptions {
  output: Output;
  signal: AbortSignal;
  /** Sends the image for a container to the engine there. Returns whether it is there now. */
  sendImage: (platform: string) => Promise<boolean>;
}

/**
 * Talks with the remote script until a program there is the remote side. The stream stands at the first byte of the tunnel or of the
 * engine then. Throws a Failure where no program suits.
 */
export async function startRemoteProgram(
  link: RemoteCommand,
  connection: HostConnection,
  request: TransferRequest,
  options: StartOptions,
): Promise<Started> {
  const { output, signal, sendImage } = options;
  const passed: Extract<RemoteLine, { kind: "pass" }>[] = [];
  let program: Exclude<RemoteProgram, "engine"> = "installed";
  let timeout = request.timeout;
  for (;;) {
    const line = await nextLine(link, { timeout }, signal, output);
    timeout = request.timeout;
    switch (line.kind) {
      case "pass":
        passed.push(line);
        link.holdLines(false, output);
        output.detail({ code: "remote-program-passed-over", program: line.program, reason: line.reason });
        break;
      case "try":
        program = line.program as typeof program;
        output.detail({ code: "remote-program-tried", program, what: line.what });
        link.holdLines(true);
        if (program !== "installed") break;
        if (await speaksThisProtocol(link, request, signal)) return started(program, link);
        // It reads a hello, and ends with status 8. The script goes on.
        link.child.stdin.write(`${MAGIC_LINE}${JSON.stringify({ protocol: PROTOCOL_VERSION })}\n`);
        break;
      case "send": {
        const bundle = readPackedBundle();
        output.detail({ code: "bundle-sent", bytes: bundle.length });
        link.child.stdin.write(bundle);
        break;
      }
      case "run":
        return started(program, link);
      case "pull":
        timeout = PULL_TIMEOUT;
        output.note({ code: "remote-image-pulled", image: line.image });
        break;
      case "image":
        link.child.stdin.write((await sendImage(line.platform)) ? "sent\n" : "no\n");
        break;
      case "engine":
        return line;
      case "nothing":
        throw nothingSuits(connection, passed, line.path);
    }
  }
}
