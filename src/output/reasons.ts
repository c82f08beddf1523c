/** Reasons that details and warnings contain as codes, and failures in words. */

/** Why an engine's push to the embedded registry yields nothing, or not all wanted layers. */
export type PushFailure =
  /** The engine is on another machine. */
  | { code: "other-machine" }
  /** The engine is on this machine, but makes no request. */
  | { code: "not-reached" }
  | { code: "stalled" }
  /** The engine's first attempt has failed, and it would wait before the next. */
  | { code: "retried" }
  | { code: "engine-error"; error: string }
  /** The image has no name other than the temporary one. */
  | { code: "no-name" }
  /** The first 12 digits of the layer's digest or diff ID */
  | { code: "unwanted-layer"; layer: string }
  | { code: "unwanted-blob" }
  /** The engine would have to compress a layer to learn its digest. */
  | { code: "no-digest" }
  | { code: "too-many-bytes" }
  | { code: "too-many-manifests" }
  | { code: "no-manifest" }
  /** If `platform` is undefined, the engine does not report its own platform. */
  | { code: "no-manifest-for-platform"; platform: string | undefined }
  | { code: "no-config" }
  | { code: "invalid-image"; error: string }
  /** This process does not need the rest of the push. */
  | { code: "not-needed" };

/** Why there is no room for files. */
export type NoRoomReason =
  /** The disk is full, or the user's quota is used up. */
  | { code: "disk-full" }
  /** The user's home folder is unknown. */
  | { code: "no-cache-folder" }
  /** Others could replace files in it. */
  | { code: "unsafe-cache-folder"; error: string }
  /** No folder can be created in the cache folder. */
  | { code: "no-folder"; path: string; error: string }
  /** No file can be created in the cache folder. */
  | { code: "no-files"; error: string };

/** Returns the reason in words. `undefined`: the engine gave none. */
export function pushFailureText(reason: PushFailure | undefined): string {
  switch (reason?.code) {
    case undefined:
      return "it gave no reason";
    case "other-machine":
      return "the engine is on another machine, and cannot reach this process";
    case "not-reached":
      return "the engine does not reach this process";
    case "stalled":
      return "the engine makes no progress";
    case "retried":
      return "the engine's first attempt failed";
    case "engine-error":
      return `the engine's error: ${reason.error}`;
    case "no-name":
      return "the image has no name other than the temporary one";
    case "unwanted-layer":
      return `the engine uploads the layer ${reason.layer}, which is not wanted`;
    case "unwanted-blob":
      return "the engine uploads a blob that is not wanted";
    case "no-digest":
      return "the engine knows no digest for a layer";
    case "too-many-bytes":
      return "the engine would upload too many bytes";
    case "too-many-manifests":
      return "the engine pushes too many manifests";
    case "no-manifest":
      return "the engine pushed no manifest";
    case "no-manifest-for-platform":
      return `the engine pushed no manifest for ${reason.platform ?? "its own platform, which it does not report"}`;
    case "no-config":
      return "the engine did not upload its config";
    case "invalid-image":
      return reason.error;
    case "not-needed":
      return "this process does not need the rest of the push";
  }
}

export function noRoomText(reason: NoRoomReason): string {
  switch (reason.code) {
    case "disk-full":
      return "no space left on the disk";
    case "no-cache-folder":
      return "there is no cache folder: this user's home folder is unknown";
    case "unsafe-cache-folder":
      return `the cache folder is not safe to use: ${reason.error}`;
    case "no-folder":
      return `cannot create a folder for layers in ${reason.path}: ${reason.error}`;
    case "no-files":
      return `no files can be created in the cache folder to cut a layer: ${reason.error}`;
  }
}
