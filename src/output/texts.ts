import type { Built } from "./build-events.ts";
import { bytes, duration, plural, shortDigest } from "./describe.ts";
import type { Note, Plan, Stage, TransferResult, Warning } from "./events.ts";
import { findingLines } from "./finding-lines.ts";
import { noRoomText } from "./reasons.ts";
import { setupStepText } from "./setup-steps.ts";

/** Puts the events of a transfer into words for people. detail-texts.ts does the same for --verbose. */

export function noteText(note: Note): string {
  switch (note.code) {
    case "engine-only":
      return `remote side: ${note.command} (the engine of ${note.host} alone: layers are sent whole)`;
    case "gitignore-applied":
      return `there is no .dockerignore: files that ${note.file ?? "git"} ignores are not sent (--no-gitignore sends them)`;
    case "waiting-for-context":
      return "waiting for another build of this project, which is sending its files to the remote side";
    case "credentials-sent":
      return `sending your credentials for ${note.registry} to the builder, for this build`;
    case "one-by-one":
      return `${note.host} has an earlier version of docker-over-ssh, which accepts one image per connection: each other image is sent over a connection of its own`;
    case "watching":
      return `watching ${note.images.join(", ")}: an image is sent again when its tag moves; Ctrl-C stops`;
    case "connecting-in":
      return `connecting again in ${note.seconds} s: ${note.error}`;
    case "link-not-kept":
      return `the remote side is docker-over-ssh ${note.peerVersion}, which closes the link after a transfer: each transfer needs a connection of its own`;
    case "image-pulled":
      return `the remote engine pulls ${note.image} once, for a container that runs docker-over-ssh there`;
    case "connecting-again":
      return `connecting to ${note.host ?? "the engine"} once more, for ${note.host === undefined ? "its" : "the engine's"} gRPC (content store, BuildKit)`;
    case "running-there":
      return `running on ${note.host}: ${note.command}`;
    case "relaying":
      return `${note.host} passes the images on to ${note.hosts.join(", ")}`;
    case "relay-not-planned":
      return `the missing layers are not known yet: ${note.host} finds them when it has the images`;
    case "no-remote-shell":
      return `${note.host} runs no commands of a POSIX shell (status ${note.status}): connecting once more, to the engine alone`;
    case "manifest-not-kept":
      return `no manifest digest can be preserved: ${note.address ?? "the source of the image"} stores no manifests; config and layers will be the same`;
    case "layers-kept":
      return `kept ${bytes(note.bytes)} of received layers: the next run continues from there`;
    case "waiting-for-reader":
      return `waiting for a program that reads ${note.path}`;
    case "setup-step":
      return setupStepText(note.step);
    case "installed":
      return `transfers to ${note.host} now use this installation${note.isInPath ? "" : ", although ~/.local/bin is not in the PATH of a non-login shell there"}`;
    case "uninstalled":
      return `no files of docker-over-ssh remain on ${note.host}`;
    case "pruned":
      return `${bytes(note.bytes)} of files ${note.isDryRun ? "would be removed" : "were removed"}`;
    case "engine-not-pruned":
      return `no engine was pruned: ${note.reason}`;
    case "build-waiting":
      return `waiting for ${plural(note.ahead, "earlier build")}${note.image === undefined ? "" : ` of ${note.image}`}`;
    case "build-accepted":
      return `${note.server} has accepted the build: ${note.id}`;
    case "build-left":
      return `the build continues: ${note.id} on ${note.server}`;
    case "build-cancelled":
      return `cancelled the build: ${note.id}`;
    case "build-goes-on":
      return `still building (${duration(1000 * note.seconds)})`;
    case "checked":
      return findingLines(note.finding).join("\n");
  }
}

export function warningText(warning: Warning): string {
  switch (warning.code) {
    case "entries-skipped":
      return `not sent, because they are sockets, pipes or devices: ${warning.paths.join(", ")}${more(warning.count - warning.paths.length)}`;
    case "context-large":
      return [
        `the context has ${bytes(warning.bytes)} in ${plural(warning.files, "file")}; to exclude files that the build does not need, add lines to ${warning.ignoreFile}:`,
        ...warning.largest.map((folder) => `${bytes(folder.bytes).padStart(9)}  ${folder.ignoreLine}`),
      ].join("\n");
    case "context-not-kept":
      return `the remote side cannot keep the files for the next build: ${warning.error}`;
    case "platform-unknown":
      return `the image's config does not name its whole platform (${warning.platform}): an engine may be unable to run it`;
    case "platform-differs":
      return `the image is for ${warning.platform}, and this engine runs ${warning.enginePlatform}`;
    case "no-room-for-files":
      return `layers are sent whole, because there is no room for files: ${noRoomText(warning.reason)}`;
    case "not-shared":
      return `the image is read and compressed again for each host, because there is no room for files: ${noRoomText(warning.reason)}`;
    case "old-images-not-removed":
      return `the image has arrived, but no older images were removed: ${warning.error}`;
    case "sender-not-notified":
      return "the image is stored under its name, but the sender could not be notified";
    case "credentials-unreadable":
      return `the credentials in ${warning.file} are not used: ${warning.error}`;
    case "credentials-not-sent":
      return `your credentials for ${warning.registry} are not sent: the connection to ${warning.server} is not encrypted (--registry-credentials always sends them)`;
    case "build-not-cancelled":
      return `the build ${warning.id} could not be cancelled and continues: ${warning.error}`;
    case "credential-helper-failed":
      return `${warning.helper} ${warning.error}: ${warning.registry} is used without credentials`;
  }
}

function more(count: number): string {
  return count > 0 ? ` and ${count} more` : "";
}

/** The first words of a progress line. */
export const STAGE_TEXT: Record<Stage, string> = {
  preparing: "preparing",
  "sending-context": "sending the context",
  sending: "sending",
  checking: "checking",
  loading: "loading",
  storing: "storing",
  "reading-archive": "reading the archive",
  "starting-registry": "starting a registry",
  "pulling-registry": "pulling registry:2",
  "opening-address": "opening a public address",
  working: "working",
};

/** Returns undefined if the missing layers are not known yet. */
export function planText({ role, image, platform, platforms = [platform], layers, missing }: Plan): string | undefined {
  if (missing === undefined) return undefined;
  if (role === "sender") return `offering ${missing} of ${layers} layers of ${image} for ${platforms.join(", ")}`;
  return `${layers - missing} of ${layers} layers are already present`;
}

/** The last line of a transfer. */
export function resultText(result: TransferResult): string {
  const { removed = [], bytesFreed } = result;
  const would = removed.length === 0 ? "" : `; --keep would remove ${removed.join(", ")}`;
  if (result.isDryRun === true) return `a dry run: nothing was sent, in ${duration(result.ms)}${would}`;
  const freed = bytesFreed === undefined ? "" : ` (${bytes(bytesFreed)} freed)`;
  const without = removed.length === 0 ? "" : `; removed ${removed.join(", ")} there${freed}`;
  const { role, image, name, names, layersSent, layersPresent, bytesPresent, bytesRebuilt, bytesSent, bytesReceived } =
    result;
  const rebuilt = bytesRebuilt > 0 ? ` (${bytes(bytesRebuilt)} rebuilt from files there)` : "";
  const moved = role === "sender" ? `${bytes(bytesSent)} sent` : `${bytes(bytesReceived)} received`;
  // The size of a present layer is not always known.
  const size = bytesPresent > 0 ? ` (${bytes(bytesPresent)})` : "";
  const verb = role === "sender" ? "pushed" : "pulled";
  const as = names?.join(", ") ?? name;
  return `${verb} ${image}${as === undefined ? "" : ` as ${as}`}: ${moved} for ${plural(layersSent, "layer")}${rebuilt}, ${plural(layersPresent, "layer")}${size} already present, in ${duration(result.ms)}${without}`;
}

/** The last line of a build. */
export function builtText({ names, id, size, contextBytes, ms }: Built): string {
  const image = names.length === 0 ? id : `${names.join(", ")} (${shortDigest(id)})`;
  const phases = [
    `${bytes(contextBytes)} of context sent in ${duration(ms.context)}`,
    `built in ${duration(ms.build)}`,
    ...(ms.push === undefined ? [] : [`pushed in ${duration(ms.push)}`]),
    ...(ms.load === undefined ? [] : [`brought back in ${duration(ms.load)}`]),
  ];
  return `built ${image}${size === undefined ? "" : `, ${bytes(size)}`}: ${phases.join(", ")}; ${duration(ms.total)} in all`;
}
