import type { PushFailure } from "./reasons.ts";
import type { TunnelProgram } from "./remote-programs.ts";

/**
 * A step or a decision of a transfer, for people who look for a reason (--verbose). `error` is the message of an engine, of the system or of
 * Node.
 */
export type Detail =
  /** A command that leads to the remote side was started. The passwords in its arguments are hidden. */
  | { code: "command-started"; command: string }
  /** The login is over: the remote side has answered. */
  | { code: "command-answered" }
  /** A program on the remote side is tried. `what`: its path, or the image of a container. */
  | { code: "program-tried"; program: TunnelProgram; what: string }
  /** A program cannot serve as the remote side. `reason`: in the words of the remote side. */
  | { code: "program-passed-over"; program: string; reason: string }
  /** A line that an unusable program wrote to its stderr. */
  | { code: "passed-over-line"; line: string }
  /** docker-over-ssh itself is sent to the remote side. `bytes`: as sent, compressed. */
  | { code: "bundle-sent"; bytes: number }
  /** npm fetches a package with a Node for the remote side. */
  | { code: "node-fetched"; name: string; version: string }
  /** A Node for the remote side is in the cache folder. `bytes`: as sent, compressed. */
  | { code: "node-packed"; bytes: number }
  /** Node is sent to the remote side. */
  | { code: "node-sent"; bytes: number }
  /** The image for a container cannot be sent from this machine. */
  | { code: "image-not-sent"; image: string; error: string }
  /** docker-over-ssh runs on the remote side, started by this program. */
  | { code: "remote-found"; host: string; program: TunnelProgram }
  /** Text arrived before the first byte of the started program. */
  | { code: "noise"; printedBy: "remote-side" | "login-shell"; text: string }
  | { code: "tunnel-opened"; peerVersion: string }
  /** The engine that builds. `version`: the engine's version */
  | { code: "builder-found"; builder: "buildkit" | "classic" | "buildah"; version: string }
  | { code: "leftover-removed"; leftover: Leftover }
  /** An archive that cannot be read in place is copied into the cache folder. */
  | { code: "archive-spooled"; path: string; bytesFree?: number }
  /** `docker save` of the whole image is read. */
  | { code: "export-by-save" }
  /** The engine does not give access to its content store: dry loads show which blobs it has. */
  | { code: "content-store-inaccessible" }
  | { code: "content-query-failed"; query: ContentQuery; error: string }
  /** Layers that the engine has unpacked count as missing: it shows no blobs of them, or none that the manifest to preserve names. */
  | { code: "blobs-not-found"; namedByManifest: boolean }
  /** No dry push of an image is possible, because there is no room for files. */
  | { code: "dry-push-skipped"; image: string; error: string }
  | { code: "dry-push-failed"; image: string; reason: PushFailure }
  /** The engine did not push all wanted layers. `reason`: undefined if the engine gave none. */
  | { code: "push-incomplete"; image: string; reason: PushFailure | undefined }
  | { code: "embedded-registry-failed"; error: string }
  /** None of the missing layers is sent by delta. */
  | { code: "all-whole"; reason: WholeReason }
  /** The sender does not cut this layer. `size`: its stored size in bytes. */
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
  /** A rebuild failed, so the layer is sent whole. */
  | { code: "rebuild-failed"; diffId: string; reason: RebuildFailure; error: string }
  /** An earlier run has left a part of a layer. */
  | { code: "layer-continued"; digest: string; bytesPresent: number; bytes: number }
  /** Layers that were present were removed from the engine. They are requested again. */
  | { code: "layers-gone" };

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
  /** All requests to the receiving engine share one connection, which the files of a delta base would also use. */
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
