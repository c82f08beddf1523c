import type { Credentials } from "../engine/engine-images.ts";
import type { RunId } from "../run/run-id.ts";
import type { Progress } from "../output/output.ts";

/**
 * A registry for one transfer. The sender's engine pushes into it; the receiver reaches it through the tunnel.
 *
 * Disposing takes down whatever was put up for it; an external one stays as it is.
 */
export interface TemporaryRegistry extends AsyncDisposable {
  /** Where the sender's engine pushes: host, with port where it has one. */
  readonly pushHost: string;
  /** What the sender's engine must show there, if anything. */
  readonly pushCredentials: Credentials | undefined;
  /** Base URL for this process, without a trailing slash. */
  readonly url: string;
  /** What the registry asks of this process, if anything. */
  readonly ownCredentials: Credentials | undefined;
  /** Aborted, with a Failure, when the registry is there no longer. */
  readonly signal: AbortSignal;
  /** Says that the registry could not be reached, and why. */
  lost(why: string): void;
  /** What the registry itself says about a push that failed: more than the engine passes on. Empty when nothing. */
  complaints(): Promise<string>;
}

/** Which registry serves a transfer. */
export type RegistryChoice =
  | { kind: "container" }
  /** One that is there already. `ngrok`: an auth token, or `true` for none; the engine is on another machine. */
  | { kind: "external"; host: string; port: number; ngrok?: string | true };

export interface RegistryOptions {
  runId: RunId;
  signal: AbortSignal;
  onProgress: (progress: Progress) => void;
}
