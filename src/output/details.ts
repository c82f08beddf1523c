import type { PushFailure } from "./reasons.ts";

/**
 * A step or a decision of a transfer, for people who look for a reason (--verbose). `error` is the message of an engine, of the system or of
 * Node.
 */
export type Detail =
  /** A program runs that leads to the remote side; without the passwords in its arguments. */
  | { code: "command-started"; command: string }
  /** The login is over: something there has answered. */
  | { code: "command-answered" }
  /** A program there is tried. `what`: its path, or the image of a container. */
  | { code: "program-tried"; program: RemoteProgramName; what: string }
  /** A program cannot be the remote side. `reason`: in the words of the remote side. */
  | { code: "program-passed-over"; program: string; reason: string }
  /** A program that was passed over has written this line to its stderr. */
  | { code: "passed-over-line"; line: string }
  /** docker-over-ssh itself is sent to the remote side. `bytes`: as they are sent. */
  | { code: "bundle-sent"; bytes: number }
  /** npm fetches a package with a Node for the remote side. */
  | { code: "node-fetched"; name: string; version: string }
  /** A Node for the remote side is in the cache folder. `bytes`: as it is sent. */
  | { code: "node-packed"; bytes: number }
  /** Node is sent to the remote side. */
  | { code: "node-sent"; bytes: number }
  /** The image for a container is not sent from here. */
  | { code: "image-not-sent"; image: string; error: string }
  /** docker-over-ssh runs there, by this program. */
  | { code: "remote-found"; host: string; program: RemoteProgramName }
  /** Text came before the first byte of the program that was started. */
  | { code: "noise"; printedBy: "remote-side" | "login-shell"; text: string }
  | { code: "tunnel-opened"; peerVersion: string }
  /** The engine that builds. `version`: of the engine */
  | { code: "builder-found"; builder: "buildkit" | "classic" | "buildah"; version: string }
  | { code: "leftover-removed"; leftover: Leftover }
  /** An archive that cannot be read in place goes into the cache folder. */
  | { code: "archive-spooled"; path: string; bytesFree: number }
  /** `docker save` of the whole image is read. */
  | { code: "export-by-save" }
  /** The engine does not give access to its content store: dry loads show which blobs it has. */
  | { code: "content-store-inaccessible" }
  | { code: "content-query-failed"; query: ContentQuery; error: string }
  /** Layers that the engine has unpacked count as missing: it shows no blobs of them, or none that the manifest to preserve names. */
  | { code: "blobs-not-found"; namedByManifest: boolean }
  /** There is no dry push of an image, because there is no room for files. */
  | { code: "dry-push-skipped"; image: string; error: string }
  | { code: "dry-push-failed"; image: string; reason: PushFailure }
  /** The engine did not push all wanted layers. Without a reason: it gave none. */
  | { code: "push-incomplete"; image: string; reason: PushFailure | undefined }
  | { code: "embedded-registry-failed"; error: string }
  /** None of the missing layers is sent by delta. */
  | { code: "all-whole"; reason: WholeReason }
  /** The sender does not cut a layer of `size` bytes, as it is stored. */
  | { code: "layer-not-cut"; diffId: string; size: number; reason: NotCutReason }
  /** The receiver has predicted how long a layer takes whole and by delta. */
  | {
      code: "layer-predicted";
      diffId: string;
      chosen: "whole" | "by-delta";
      msWhole: number;
      msByDelta: number;
      bytesPerSecond: number;
    }
  /** The bytes of a layer, uncompressed, that were found in delta bases. */
  | { code: "pieces-found"; diffId: string; bytesFound: number; bytes: number }
  | { code: "delta-base-unreadable"; error: string }
  /** A layer is sent whole after all. */
  | { code: "rebuild-failed"; diffId: string; reason: RebuildFailure; error: string }
  /** An earlier run has left a part of a layer. */
  | { code: "layer-continued"; digest: string; bytesPresent: number; bytes: number }
  /** Layers that were present have been removed from the engine, and are requested. */
  | { code: "layers-gone" };

/** The programs of --far that can be docker-over-ssh on the remote side. */
export type RemoteProgramName = "installed" | "node" | "container" | "node-sent";

/** A container, an image name or a file that a killed run left behind. */
export type Leftover =
  | { kind: "container"; id: string }
  | { kind: "image"; reference: string }
  | { kind: "file"; path: string };

/** A question to the engine's content store. */
export type ContentQuery =
  /** Whether it has the image */
  | { about: "image" }
  /** The blobs of all layers */
  | { about: "layers" }
  | { about: "layer"; diffId: string }
  /** The manifest of a related image */
  | { about: "manifest" }
  | { about: "blob"; digest: string };

/** Why no layer is sent by delta. */
export type WholeReason =
  /** --delta never */
  | "option"
  /** --preserve-digest sends layers as they are stored */
  | "preserved-digest"
  | "preserved-index"
  | "other-version"
  /** One side is an engine alone: the layers cross the link before this process has them. */
  | "engine-alone"
  /** Both sides are on this machine. */
  | "one-machine"
  /** The receiving engine is behind one connection, which its files would share with all other requests. */
  | "one-connection"
  /** --via pull */
  | "engine-pull"
  | "no-similar-image"
  /** The sender serves the layers from a registry container, or an external registry. */
  | "served-from-registry"
  /** As seen by the sender */
  | "receiver-wants-whole";

/** Why the sender does not cut a layer, where it cuts others. */
export type NotCutReason = "small" | "zstd";

/** Why a layer could not be rebuilt. */
export type RebuildFailure = "no-recipe" | "recipe-truncated" | "recipe-invalid" | "no-space" | "too-slow";
