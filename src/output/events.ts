import type { BuildOutputEvent, CheckedDockerfile } from "./build-events.ts";
import type { Detail, RemoteProgramName } from "./details.ts";
import type { ErrorReport } from "./errors.ts";
import type { Finding } from "./findings.ts";
import type { NoRoomReason } from "./reasons.ts";
import type { SetupStep } from "./setup-steps.ts";

/**
 * The events of a transfer, in their order on this side. A program reads the fields; `texts.ts` puts them into words for people, and
 * `docs/events.schema.json` describes them as `--json` prints them.
 */
export type TransferEvent = AnyEvent & { transfer?: TransferName };

/** Which transfer of a command an event belongs to. Left out: the only one, or the command as a whole. */
export interface TransferName {
  /** As it was asked for */
  image?: string;
  /** The remote side, as it was typed: `ssh://prod` */
  host?: string;
}

type AnyEvent =
  | Started
  | Plan
  | ({ type: "progress" } & Progress)
  /** A choice that was made, which people should know of. */
  | ({ type: "note" } & Note)
  | ({ type: "warning" } & Warning)
  /** A step or a decision, for people who look for a reason. */
  | ({ type: "detail" } & Detail)
  /** A line that the remote command wrote to its stderr. */
  | { type: "remote"; line: string }
  | BuildOutputEvent
  /** The Dockerfile has been checked (`build --check`). An error follows where the check has found something. */
  | ({ type: "dockerfile-checked" } & CheckedDockerfile)
  /** The transfer has failed. The last event of a transfer that did not succeed. */
  | ({ type: "error" } & ErrorReport)
  /** The transfer has succeeded. The last event of it. */
  | ({ type: "result" } & TransferResult);

/** The side of a transfer that this process plays; both, where the remote side is an engine alone. */
export type TransferRole = "sender" | "receiver";

/** The first event. */
export interface Started {
  type: "started";
  role: TransferRole;
  /** As it was asked for */
  image: string;
}

/** Which layers are to be sent is known. Comes once more when a layer is gone that the receiver had. */
export interface Plan {
  type: "plan";
  role: TransferRole;
  /** In full, with domain and tag, or the ID. */
  image: string;
  platform: string;
  /** With `--all-platforms` or several `--platform`: those that are sent, as the image's index names them. */
  platforms?: readonly string[];
  /** Layers of the image; with several platforms, the configs and layers of all */
  layers: number;
  /** Layers that the receiver lacks; undefined where its engine finds that out while it pulls. */
  missing: number | undefined;
  /** Bytes to send, with `--dry-run` or where they are known before the transfer. */
  bytes?: PlannedBytes;
  /** Each layer of the image, bottom first, where `bytes` is there. */
  perLayer?: readonly PlannedLayer[];
  /** Further findings of `--dry-run`, after which nothing is sent. */
  dryRun?: DryRun;
}

/** What only a dry run tells. */
export interface DryRun {
  /** The rate of the link, bytes a second; left out where it was not measured. */
  bytesPerSecond?: number;
  /** Time to send `bytes` at that rate, ms. */
  ms?: number;
  /** Those of `bytes` that would measure the link, to choose between whole and by delta; left out for none. */
  bytesProbed?: number;
  /** The receiver's store. */
  store: StoreName;
  /** The program that runs the remote side: one of `--far`, `command` for a command that was given, or `none` for a file or a folder. */
  program: RemoteProgramName | "engine" | "command" | "none";
  /** The disks of the receiver that need room. */
  room: readonly PlannedRoom[];
}

/** An engine's store by its kind, an OCI layout, an archive in a file, or one that is streamed. */
export type StoreName = "graphdriver" | "containerd" | "podman" | "layout" | "archive" | "stream";

export interface PlannedRoom {
  /** `engine`: of the receiving engine's data. `cache`: of the cache folder. `target`: of the file or layout. */
  disk: "engine" | "cache" | "target";
  /** Bytes that are needed at least; left out where the sizes of layers are not known early. */
  needed?: number;
  /** Bytes that are free; left out where this side cannot tell. */
  free?: number;
}

export interface PlannedBytes {
  count: number;
  /** Otherwise estimated */
  isExact: boolean;
}

export interface PlannedLayer {
  diffId: string;
  way: "present" | "by-delta" | "whole";
  /** Left out for layers that are present. */
  bytes?: PlannedBytes;
  /** The image whose files are reused, for a layer by delta. */
  deltaBase?: string;
}

/** The current activity. `working`: one that this version does not know, on a remote side of another version. */
export const STAGES = [
  "preparing",
  "sending-context",
  "sending",
  "checking",
  "loading",
  "storing",
  "reading-archive",
  "starting-registry",
  "pulling-registry",
  "opening-address",
  "working",
] as const;

export type Stage = (typeof STAGES)[number];

/** Where a transfer is. */
export interface Progress {
  stage: Stage;
  /** Bytes done, and to do when that is known. Bytes that a delta saves count as done. */
  current: number;
  total?: number;
  /** Not all of `total` is known yet. */
  isEstimated?: boolean;
  /** Bytes of `current` that were not sent, because they came from delta bases. */
  saved?: number;
  /** Layers: done, of all. */
  layers?: { done: number; total: number };
  /** The layers that are in work. */
  perLayer?: readonly ProgressOfLayer[];
}

export interface ProgressOfLayer {
  /** The first 12 digits of the layer's diff ID or digest, as engines show it */
  id: string;
  current: number;
  total?: number;
  isByDelta?: boolean;
}

export type Note =
  /** No program there can be docker-over-ssh, or the engine alone was asked for. It is used through this command. */
  | { code: "engine-only"; host: string; command: string }
  /** There is no .dockerignore: what git ignores is left out. `file`: the first .gitignore, relative to the context */
  | { code: "gitignore-applied"; file?: string }
  /** Another run sends a context of the same project to that machine, which this one waits for. */
  | { code: "waiting-for-context" }
  /** The builder there asked for the credentials of this side for a registry, and has got them. */
  | { code: "credentials-sent"; registry: string }
  /** The remote side takes one image a connection: the others of the batch follow over connections of their own. */
  | { code: "one-by-one"; host: string }
  /** --watch: these images are there as they are here. Each is sent again when its tag moves. */
  | { code: "watching"; images: readonly string[] }
  /** --watch: the link or an engine was lost, for this reason. publish: the build service is lost, or busy. The next attempt is in so many seconds. */
  | { code: "connecting-in"; seconds: number; error: string }
  /** --watch: the remote side has this earlier version, which ends the connection after each transfer. */
  | { code: "link-not-kept"; peerVersion: string }
  /** The engine there pulls the image for a container, once. */
  | { code: "image-pulled"; image: string }
  /** The engine's content store needs a connection of its own. Without `host`: the engine of this side. */
  | { code: "connecting-again"; host?: string }
  /** All images are there, and the command of --run is run. */
  | { code: "running-there"; host: string; command: string }
  /** `host` has the images, and passes them on to these hosts (--relay). */
  | { code: "relaying"; host: string; hosts: readonly string[] }
  /** What this host lacks is known when `host` has the images, which passes them on. */
  | { code: "relay-not-planned"; host: string }
  /** The login ran no command of a POSIX shell: it ended with this status. The engine there is used by another login. */
  | { code: "no-remote-shell"; host: string; status: number }
  /** --preserve-digest has no effect: this address keeps no manifests. Without `address`: the sender. */
  | { code: "manifest-not-kept"; address?: string }
  /** The transfer has failed, and the next run continues with these bytes of layers. */
  | { code: "layers-kept"; bytes: number }
  /** The pipe has no reader yet. */
  | { code: "waiting-for-reader"; path: string }
  /** setup has done this there. */
  | { code: "setup-step"; step: SetupStep }
  /** It is installed there. `isInPath`: a shell that is not a login shell finds it as well. */
  | { code: "installed"; host: string; isInPath: boolean }
  /** Nothing of it is left there. */
  | { code: "uninstalled"; host: string }
  /** prune has removed this many bytes of files, or with --dry-run would remove them. */
  | { code: "pruned"; bytes: number; isDryRun: boolean }
  /** prune has found no engine of this side. */
  | { code: "engine-not-pruned"; reason: string }
  /** Builds that came before and are not done. `image`: they build this one; left out: any (--jobs). Comes again while it lasts. */
  | { code: "build-waiting"; ahead: number; image?: string }
  /** publish: the build service has accepted the build under this ID. `server`: its address */
  | { code: "build-accepted"; id: string; server: string }
  /** publish was stopped, and the build goes on. */
  | { code: "build-left"; id: string; server: string }
  /** publish was stopped, and the build was cancelled. */
  | { code: "build-cancelled"; id: string }
  /** The build has printed nothing for a while. `seconds`: since it began. */
  | { code: "build-goes-on"; seconds: number }
  /** doctor has found this. */
  | { code: "checked"; finding: Finding };

export type Warning =
  /** Sockets, pipes or devices of the context, which are not sent. `paths`: the first ones */
  | { code: "entries-skipped"; count: number; paths: readonly string[] }
  /** The context is so large that it may be so by accident. `ignoreFile`: in which the lines have an effect */
  | { code: "context-large"; bytes: number; files: number; ignoreFile: string; largest: readonly LargeFolder[] }
  /** The builder's side cannot keep the context for the next build. */
  | { code: "context-not-kept"; error: string }
  /** The image's config leaves a part of its platform out. */
  | { code: "platform-unknown"; platform: string }
  /** The engine of this side runs another platform. */
  | { code: "platform-differs"; platform: string; enginePlatform: string }
  /** Layers are sent whole, because this side has no room for files. */
  | { code: "no-room-for-files"; reason: NoRoomReason }
  /** The layers are read and packed for each host again, because this side has no room for files. */
  | { code: "not-shared"; reason: NoRoomReason }
  /** The image has arrived, and --keep could not remove older ones. `error`: in the engine's words. */
  | { code: "old-images-not-removed"; error: string }
  /** The image has its name here, and the sender does not know. */
  | { code: "sender-not-notified" }
  /** A file with credentials of registries cannot be read. */
  | { code: "credentials-unreadable"; file: string; error: string }
  /** publish: the credentials for the registry stay here, because others could read them on the way. */
  | { code: "credentials-not-sent"; registry: string; server: string }
  /** publish was stopped, and the build goes on although it was to be cancelled. */
  | { code: "build-not-cancelled"; id: string; error: string }
  /** A credential helper of the docker config has failed: the registry is used without credentials. `error`: ends a sentence about it. */
  | { code: "credential-helper-failed"; helper: string; registry: string; error: string };

/** A folder or a file that makes a context large. */
export interface LargeFolder {
  path: string;
  bytes: number;
  ignoreLine: string;
}

/** The outcome of a transfer. */
export interface TransferResult {
  role: TransferRole;
  /** As it was asked for */
  image: string;
  /** The name that the image has at the receiver, if this side knows it */
  name?: string;
  /** All of its names there, if it has several */
  names?: readonly string[];
  /** The names of older images that --keep has removed there */
  removed?: readonly string[];
  /** Bytes that this has freed there, where its engine tells */
  bytesFreed?: number;
  /** The image's ID at the receiver */
  id: string;
  /** Digest of the image's manifest at the receiver, where this side knows it */
  manifestDigest?: string;
  layersSent: number;
  layersPresent: number;
  /** Compressed size of the layers that were present, bytes, as far as it is known */
  bytesPresent: number;
  /** Bytes of the sent layers that the receiver found in files it had, uncompressed */
  bytesRebuilt: number;
  /** Bytes that went through the connection to the remote side */
  bytesSent: number;
  /** Bytes that came through it */
  bytesReceived: number;
  /** Duration, ms */
  ms: number;
  /** Nothing was sent, and nothing has changed: the plan has told what a transfer would do. */
  isDryRun?: boolean;
}
