import { bytes, duration, plural } from "./describe.ts";
import type { Note, Plan, TransferResult, Warning } from "./events.ts";

/** Puts the events of a transfer into words for people. */

export function noteText(note: Note): string {
  switch (note.code) {
    case "engine-only":
      return `remote side: ${note.command} (docker-over-ssh is not installed on ${note.host})`;
    case "connecting-again":
      return `connecting to ${note.host ?? "the engine"} once more, to read ${note.host === undefined ? "its" : "the engine's"} content store`;
    case "manifest-not-kept":
      return `no manifest digest can be preserved: ${note.address ?? "the source of the image"} keeps no manifests; config and layers will be the same`;
    case "layers-kept":
      return `${bytes(note.bytes)} of received layers are kept: the next run continues there`;
    case "waiting-for-reader":
      return `waiting for a program that reads ${note.path}`;
  }
}

export function warningText(warning: Warning): string {
  switch (warning.code) {
    case "platform-unknown":
      return `the image's config does not name its platform (${warning.platform}): it may not run here`;
    case "platform-differs":
      return `the image is for ${warning.platform}, and this engine runs ${warning.enginePlatform}`;
    case "no-room-for-files":
      return `layers are sent whole, because there is no room for files: ${warning.reason}`;
    case "sender-not-notified":
      return "the image is stored under its name, but the sender could not be notified";
  }
}

/** Undefined where nothing is known yet. */
export function planText({ role, image, platform, layers, missing }: Plan): string | undefined {
  if (missing === undefined) return undefined;
  if (role === "sender") return `offering ${missing} of ${layers} layers of ${image} for ${platform}`;
  return `${layers - missing} of ${layers} layers are there already`;
}

/** The last line of a transfer. */
export function resultText(result: TransferResult): string {
  const { role, image, name, layersSent, layersPresent, bytesPresent, bytesRebuilt, bytesSent, bytesReceived } = result;
  const rebuilt = bytesRebuilt > 0 ? ` (${bytes(bytesRebuilt)} rebuilt from files there)` : "";
  const moved = role === "sender" ? `${bytes(bytesSent)} sent` : `${bytes(bytesReceived)} received`;
  // The size of a layer that nobody has looked at is not always known.
  const size = bytesPresent > 0 ? ` (${bytes(bytesPresent)})` : "";
  const verb = role === "sender" ? "pushed" : "pulled";
  return `${verb} ${image}${name === undefined ? "" : ` as ${name}`}: ${moved} for ${plural(layersSent, "layer")}${rebuilt}, ${plural(layersPresent, "layer")}${size} there already, in ${duration(result.ms)}`;
}
