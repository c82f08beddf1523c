import type { Credentials } from "../engine/credentials.ts";
import type { RunId } from "../run/run-id.ts";
import type { Progress } from "../output/output.ts";

/**
 * A container or an external registry for one transfer. The sender's engine pushes into it; the receiver reads it through the tunnel.
 *
 * Disposing removes everything that was started for it. An external registry continues to run.
 */
export interface TemporaryRegistry extends AsyncDisposable {
  /** The host that the sender's engine pushes to, with a port if it has one. */
  readonly pushHost: string;
  /** The credentials that the sender's engine needs for that host, if any. */
  readonly pushCredentials: Credentials | undefined;
  /** Base URL for this process, without a trailing slash. */
  readonly url: string;
  /** The credentials that this process needs, if any. */
  readonly ownCredentials: Credentials | undefined;
  /** Aborted, with a Failure, when the registry is no longer available. */
  readonly signal: AbortSignal;
  /** Aborts `signal`, because the registry could not be reached. */
  reportUnreachable(reason: string): void;
  /** Returns the registry's log, which contains more about a failed push than the engine reports; empty if there is none. */
  readLogs(): Promise<string>;
}

/** The registry that serves a transfer, other than the embedded one. */
export type RegistryChoice =
  | { kind: "container" }
  /** A running registry. `ngrok` is set if the engine is on another machine: an auth token, or `true` for none. */
  | { kind: "external"; host: string; port: number; ngrok?: string | true };

export interface RegistryOptions {
  runId: RunId;
  signal: AbortSignal;
  onProgress: (progress: Progress) => void;
}
