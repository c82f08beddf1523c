import type { BuildOutputEvent, CheckedDockerfile } from "./build-events.ts";
import type { Detail } from "./details.ts";
import type { ErrorReport } from "./errors.ts";
import type { Finding } from "./finding-lines.ts";
import type { NoRoomReason } from "./reasons.ts";
import type { RemoteProgram } from "./remote-programs.ts";
import type { SetupStep } from "./setup-steps.ts";

/**
 * The events of a transfer, in their order on this side. A program reads the fields; `texts.ts` puts them into words for people, and
 * `docs/events.schema.json` describes them as `--json` prints them.
 */
export type TransferEvent = AnyEvent & { transfer?: TransferName };

/** The transfer that an event belongs to. If undefined, the event is about the only transfer, or about the whole command. */
export interface TransferName {
  /** Verbatim from the command line */
  image?: string;
  /** The remote side, verbatim from the command line: `ssh://prod` */
  host?: string;
}

type AnyEvent =
  | Started
  | Plan
  | ({ type: "progress" } & Progress)
  /** A choice or a state that people should know of. */
  | ({ type: "note" } & Note)
  | ({ type: "warning" } & Warning)
  /** A step or a decision, for people who look for a reason. */
  | ({ type: "detail" } & Detail)
  /** A line that the remote command wrote to its stderr. */
  | { type: "remote"; line: string }
  | BuildOutputEvent
  /** The Dockerfile has been checked (`build --check`). If the check has findings, an error event follows. */
  | ({ type: "dockerfile-checked" } & CheckedDockerfile)
  /** The transfer has failed. The last event of a failed transfer. */
  | ({ type: "error" } & ErrorReport)
  /** The transfer has succeeded. The last event of a successful transfer. */
  | ({ type: "result" } & TransferResult);

/** The side of a transfer that this process is; if the remote side is an engine alone, this process is both. */
export type TransferRole = "sender" | "receiver";

/** The first event. */
export interface Started {
  type: "started";
  role: TransferRole;
  /** Verbatim from the command line */
  image: string;
}

/** The layers to send are known. Emitted again if a layer that the receiver had disappears. */
export interface Plan {
  type: "plan";
  role: TransferRole;
  /** In full, with domain and tag, or the ID. */
  image: string;
  platform: string;
  /** With `--all-platforms` or several `--platform`: the platforms that are sent, as the image's index names them. */
  platforms?: readonly string[];
  /** Layers of the image; with several platforms, the configs and layers of all */
  layers: number;
  /** Layers that the receiver lacks; undefined if its engine finds that out while it pulls. */
  missing: number | undefined;
  /** Bytes to send, with `--dry-run` or if they are known before the transfer. */
  bytes?: PlannedBytes;
  /** Each layer of the image, bottom first; present if `bytes` is. */
  perLayer?: readonly PlannedLayer[];
  /** Further findings of `--dry-run`, after which nothing is sent. */
  dryRun?: DryRun;
}

/** Findings that only a dry run reports. */
export interface DryRun {
  /** The rate of the link, bytes a second; undefined if it was not measured. */
  bytesPerSecond?: number;
  /** Time to send `bytes` at that rate, ms. */
  ms?: number;
  /** The part of `bytes` that would measure the link, to choose between whole and by delta; undefined for none. */
  bytesProbed?: number;
  /** The receiver's store. */
  store: StoreName;
  /** The program that runs the remote side: one of `--far`, `command` for a command after IMAGE, or `none` for a file or a folder. */
  program: RemoteProgram | "command" | "none";
  /** The disks of the receiver that need room. */
  room: readonly PlannedRoom[];
}

/** The kinds of store that an engine may have. `graphdriver` is the classic store. */
export const ENGINE_STORES = ["graphdriver", "containerd", "podman"] as const;
export type EngineStore = (typeof ENGINE_STORES)[number];

/** Written out, because the generator of schemas reads no spread. */
export const STORES = ["graphdriver", "containerd", "podman", "layout", "archive", "stream"] as const;
/** An engine's store by its kind, an OCI layout, an archive in a file, or one that is streamed. */
export type StoreName = (typeof STORES)[number];

export interface PlannedRoom {
  /** The disk of: `engine`: the receiving engine's data. `cache`: the cache folder. `target`: the file or layout. */
  disk: "engine" | "cache" | "target";
  /** Bytes needed, a lower bound; undefined if the sizes of layers are not known early. */
  needed?: number;
  /** Free bytes; undefined if this side cannot find out. */
  free?: number;
}

export interface PlannedBytes {
  count: number;
  /** False for an estimate */
  isExact: boolean;
}

export interface PlannedLayer {
  diffId: string;
  way: "present" | "by-delta" | "whole";
  /** Undefined for layers that are present. */
  bytes?: PlannedBytes;
  /** The image whose files are reused, for a layer by delta. */
  deltaBase?: string;
}

/** The current activity. `working`: an activity that this version does not know, on a remote side of another version. */
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

/** How far a transfer is. */
export interface Progress {
  stage: Stage;
  /** Bytes done, and the total if it is known. Bytes that a delta saves count as done. */
  current: number;
  total?: number;
  /** Not all of `total` is known yet. */
  isEstimated?: boolean;
  /** Bytes of `current` that were not sent, because they came from delta bases. */
  saved?: number;
  /** Number of layers: done, and in total. */
  layers?: { done: number; total: number };
  /** The layers that are being transferred. */
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
  /** The remote side is an engine alone, as requested or because nothing can run docker-over-ssh there. `command` leads to the engine. */
  | { code: "engine-only"; host: string; command: string }
  /** There is no .dockerignore: files that git ignores are left out. `file`: the first .gitignore, relative to the context */
  | { code: "gitignore-applied"; file?: string }
  /** This run waits for another run, which sends a context of the same project to that machine. */
  | { code: "waiting-for-context" }
  /** The remote builder requested this side's credentials for a registry, and got them. */
  | { code: "credentials-sent"; registry: string }
  /** The remote side accepts one image per connection: each other image of the batch is sent over a connection of its own. */
  | { code: "one-by-one"; host: string }
  /** --watch: the remote side has these images in their current version. Each is sent again when its tag moves. */
  | { code: "watching"; images: readonly string[] }
  /** --watch: the link or an engine was lost. publish: the build service is unreachable or busy. The next attempt starts in `seconds`. */
  | { code: "connecting-in"; seconds: number; error: string }
  /** --watch: the remote side has this earlier version, which closes the connection after each transfer. */
  | { code: "link-not-kept"; peerVersion: string }
  /** The remote engine pulls the image for a container, once. */
  | { code: "image-pulled"; image: string }
  /** The engine's content store needs a connection of its own. Without `host`: the engine of this side. */
  | { code: "connecting-again"; host?: string }
  /** All images have arrived, and the command of --run starts. */
  | { code: "running-there"; host: string; command: string }
  /** `host` has the images, and passes them on to these hosts (--relay). */
  | { code: "relaying"; host: string; hosts: readonly string[] }
  /** The layers that this host lacks are not known before `host`, which passes the images on, has them. */
  | { code: "relay-not-planned"; host: string }
  /** The login ran no command of a POSIX shell: it ended with this status. Another login uses the remote engine directly. */
  | { code: "no-remote-shell"; host: string; status: number }
  /** --preserve-digest has no effect: this address stores no manifests. If `address` is undefined, it is the sender. */
  | { code: "manifest-not-kept"; address?: string }
  /** The transfer has failed, and the next run continues with these bytes of layers. */
  | { code: "layers-kept"; bytes: number }
  /** The pipe has no reader yet. */
  | { code: "waiting-for-reader"; path: string }
  /** A step that setup has done on the remote side. */
  | { code: "setup-step"; step: SetupStep }
  /** docker-over-ssh is installed on the remote side. `isInPath`: a non-login shell also finds it. */
  | { code: "installed"; host: string; isInPath: boolean }
  /** All of docker-over-ssh is removed from the remote side. */
  | { code: "uninstalled"; host: string }
  /** prune has removed `bytes` of files, or with --dry-run would remove them. */
  | { code: "pruned"; bytes: number; isDryRun: boolean }
  /** prune has found no engine of this side. */
  | { code: "engine-not-pruned"; reason: string }
  /** This build waits for `ahead` earlier builds. `image`: the image that they build; undefined: any image (--jobs). Repeated while the build waits. */
  | { code: "build-waiting"; ahead: number; image?: string }
  /** publish: the build service has accepted the build under this ID. `server`: its address */
  | { code: "build-accepted"; id: string; server: string }
  /** publish was stopped, and the build continues. */
  | { code: "build-left"; id: string; server: string }
  /** publish was stopped, and the build was cancelled. */
  | { code: "build-cancelled"; id: string }
  /** The build has printed nothing for a while. `seconds`: time since it began. */
  | { code: "build-goes-on"; seconds: number }
  /** A finding of doctor. */
  | { code: "checked"; finding: Finding };

export type Warning =
  /** Sockets, pipes or devices of the context, which are not sent. `paths`: the first ones */
  | { code: "entries-skipped"; count: number; paths: readonly string[] }
  /** The context is large, perhaps by accident. `ignoreFile`: the file in which the suggested lines have an effect */
  | { code: "context-large"; bytes: number; files: number; ignoreFile: string; largest: readonly LargeFolder[] }
  /** The side that builds cannot keep the context for the next build. */
  | { code: "context-not-kept"; error: string }
  /** The image's config does not name all of its platform. */
  | { code: "platform-unknown"; platform: string }
  /** The engine of this side runs another platform. */
  | { code: "platform-differs"; platform: string; enginePlatform: string }
  /** Layers are sent whole, because this side has no room for files. */
  | { code: "no-room-for-files"; reason: NoRoomReason }
  /** The layers are read and compressed again for each host, because this side has no room for files. */
  | { code: "not-shared"; reason: NoRoomReason }
  /** The image has arrived, and --keep could not remove older ones. `error`: in the engine's words. */
  | { code: "old-images-not-removed"; error: string }
  /** The image has its name on this side, but the sender could not be notified. */
  | { code: "sender-not-notified" }
  /** A file with credentials of registries cannot be read. */
  | { code: "credentials-unreadable"; file: string; error: string }
  /** publish: the credentials for the registry are not sent, because the connection to `server` is not encrypted. */
  | { code: "credentials-not-sent"; registry: string; server: string }
  /** publish was stopped, and the build continues, because the request to cancel it failed. */
  | { code: "build-not-cancelled"; id: string; error: string }
  /** A credential helper of the docker config has failed: the registry is used without credentials. `error` follows the helper's name in a text. */
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
  /** Verbatim from the command line */
  image: string;
  /** The name that the image has at the receiver, if this side knows it */
  name?: string;
  /** All of its names at the receiver, if it has several */
  names?: readonly string[];
  /** The names of older images that --keep has removed at the receiver */
  removed?: readonly string[];
  /** Bytes that this removal has freed at the receiver, if its engine reports them */
  bytesFreed?: number;
  /** The image's ID at the receiver */
  id: string;
  /** Digest of the image's manifest at the receiver, if this side knows it */
  manifestDigest?: string;
  layersSent: number;
  layersPresent: number;
  /** Compressed bytes of the layers that were present, as far as known */
  bytesPresent: number;
  /** Bytes of the sent layers that the receiver found in files that it had, uncompressed */
  bytesRebuilt: number;
  /** Bytes sent through the connection to the remote side */
  bytesSent: number;
  /** Bytes received through it */
  bytesReceived: number;
  /** Duration, ms */
  ms: number;
  /** Nothing was sent or changed. The plan reports what a transfer would do. */
  isDryRun?: boolean;
}
