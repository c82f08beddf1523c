import type { Built } from "./build-events.ts";
import { bytes, duration, plural } from "./describe.ts";
import type {
  ContentQuery,
  Detail,
  Leftover,
  NotCutReason,
  RebuildFailure,
  RemoteProgramName,
  WholeReason,
} from "./details.ts";
import type { Note, Plan, Stage, TransferResult, Warning } from "./events.ts";
import { findingLines } from "./findings.ts";
import { noRoomText, pushFailureText } from "./reasons.ts";
import { setupStepText } from "./setup-steps.ts";

/** Puts the events of a transfer into words for people. */

export function noteText(note: Note): string {
  switch (note.code) {
    case "engine-only":
      return `remote side: ${note.command} (the engine of ${note.host} alone: layers are sent whole)`;
    case "gitignore-applied":
      return `there is no .dockerignore: what ${note.file ?? "git"} ignores is not sent (--no-gitignore sends all)`;
    case "waiting-for-context":
      return "another build of this project sends its files to that machine: waiting for it";
    case "credentials-sent":
      return `your credentials for ${note.registry} go to the builder, for this build`;
    case "one-by-one":
      return `${note.host} has an earlier version of docker-over-ssh, which takes one image a connection: the others follow over connections of their own`;
    case "watching":
      return `watching ${note.images.join(", ")}: sent again when the tag moves here; Ctrl-C ends it`;
    case "connecting-in":
      return `connecting again in ${note.seconds} s: ${note.error}`;
    case "link-not-kept":
      return `the remote side is docker-over-ssh ${note.peerVersion}, which does not keep the link: each transfer takes a connection of its own`;
    case "image-pulled":
      return `the remote engine pulls ${note.image} once, for a container that runs docker-over-ssh there`;
    case "connecting-again":
      return `connecting to ${note.host ?? "the engine"} once more, for ${note.host === undefined ? "its" : "the engine's"} gRPC (content store, BuildKit)`;
    case "running-there":
      return `running on ${note.host}: ${note.command}`;
    case "relaying":
      return `${note.host} passes the images on to ${note.hosts.join(", ")}`;
    case "relay-not-planned":
      return `what is missing here is not known: ${note.host} asks when it has the images itself`;
    case "no-remote-shell":
      return `${note.host} runs no commands of a POSIX shell (status ${note.status}): connecting once more, to the engine alone`;
    case "manifest-not-kept":
      return `no manifest digest can be preserved: ${note.address ?? "the source of the image"} keeps no manifests; config and layers will be the same`;
    case "layers-kept":
      return `${bytes(note.bytes)} of received layers are kept: the next run continues there`;
    case "waiting-for-reader":
      return `waiting for a program that reads ${note.path}`;
    case "setup-step":
      return setupStepText(note.step);
    case "installed":
      return `${note.host} uses it from now on${note.isInPath ? "" : ", although ~/.local/bin is not in the PATH of a shell there that is not a login shell"}`;
    case "uninstalled":
      return `nothing of docker-over-ssh is left on ${note.host}`;
    case "pruned":
      return `${bytes(note.bytes)} of files ${note.isDryRun ? "would be removed" : "were removed"}`;
    case "engine-not-pruned":
      return `no engine was looked into: ${note.reason}`;
    case "build-waiting":
      return `waiting for ${plural(note.ahead, "build")} that came before${note.image === undefined ? "" : `, of ${note.image}`}`;
    case "build-goes-on":
      return `the build goes on (${duration(1000 * note.seconds)})`;
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
        `the context has ${bytes(warning.bytes)} in ${plural(warning.files, "file")}; what is not needed can be named in ${warning.ignoreFile}:`,
        ...warning.largest.map((one) => `${bytes(one.bytes).padStart(9)}  ${one.ignoreLine}`),
      ].join("\n");
    case "context-not-kept":
      return `the files are not kept there for the next build: ${warning.error}`;
    case "platform-unknown":
      return `the image's config does not name its platform (${warning.platform}): it may not run here`;
    case "platform-differs":
      return `the image is for ${warning.platform}, and this engine runs ${warning.enginePlatform}`;
    case "no-room-for-files":
      return `layers are sent whole, because there is no room for files: ${noRoomText(warning.reason)}`;
    case "not-shared":
      return `the image is read and packed for each host again, because there is no room for files: ${noRoomText(warning.reason)}`;
    case "old-images-not-removed":
      return `the image is there, but no older ones were removed: ${warning.error}`;
    case "sender-not-notified":
      return "the image is stored under its name, but the sender could not be notified";
    case "credentials-unreadable":
      return `the credentials in ${warning.file} are not used: ${warning.error}`;
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

/** Undefined where nothing is known yet. */
export function planText({ role, image, platform, platforms = [platform], layers, missing }: Plan): string | undefined {
  if (missing === undefined) return undefined;
  if (role === "sender") return `offering ${missing} of ${layers} layers of ${image} for ${platforms.join(", ")}`;
  return `${layers - missing} of ${layers} layers are there already`;
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
  return `${verb} ${image}${as === undefined ? "" : ` as ${as}`}: ${moved} for ${plural(layersSent, "layer")}${rebuilt}, ${plural(layersPresent, "layer")}${size} there already, in ${duration(result.ms)}${without}`;
}

/** The last line of a build. */
export function builtText({ names, id, size, contextBytes, ms }: Built): string {
  const image = names.length === 0 ? id : `${names.join(", ")} (${short(id)})`;
  const phases = [
    `${bytes(contextBytes)} of context sent in ${duration(ms.context)}`,
    `built in ${duration(ms.build)}`,
    ...(ms.push === undefined ? [] : [`pushed in ${duration(ms.push)}`]),
    ...(ms.load === undefined ? [] : [`brought back in ${duration(ms.load)}`]),
  ];
  return `built ${image}${size === undefined ? "" : `, ${bytes(size)}`}: ${phases.join(", ")}; ${duration(ms.total)} in all`;
}

export function detailText(detail: Detail): string {
  switch (detail.code) {
    case "command-started":
      return `running ${detail.command}`;
    case "command-answered":
      return "the remote side answers";
    case "builder-found":
      return `building with ${detail.builder}, engine ${detail.version}`;
    case "remote-found":
      return `remote side: docker-over-ssh on ${detail.host}${FOUND[detail.program]}`;
    case "program-tried":
      return `remote side: trying ${detail.program} (${detail.what})`;
    case "program-passed-over":
      return `remote side: ${detail.program} is passed over: ${detail.reason}`;
    case "passed-over-line":
      return `remote side: it printed: ${detail.line}`;
    case "bundle-sent":
      return `sending docker-over-ssh itself, ${bytes(detail.bytes)}`;
    case "node-fetched":
      return `npm fetches ${detail.name} ${detail.version}`;
    case "node-packed":
      return `Node is packed for the remote side, ${bytes(detail.bytes)}`;
    case "node-sent":
      return `sending Node, ${bytes(detail.bytes)}`;
    case "image-not-sent":
      return `${detail.image} is not sent from here: ${detail.error}`;
    case "noise":
      return `${PRINTED_BY[detail.printedBy]} printed: ${detail.text}`;
    case "tunnel-opened":
      return `the tunnel is open; the remote side is docker-over-ssh ${detail.peerVersion}`;
    case "leftover-removed":
      return `removed ${leftoverText(detail.leftover)}, left by a run that was killed`;
    case "archive-spooled":
      return `reading ${detail.path} into the cache folder, where there is room for ${bytes(detail.bytesFree)}`;
    case "export-by-save":
      return "reading `docker save` for the wanted layers";
    case "content-store-inaccessible":
      return "the engine's content store is not accessible: dry loads show which blobs it has";
    case "content-query-failed":
      return `the engine does not ${queryText(detail.query)}: ${detail.error}`;
    case "blobs-not-found":
      return `unpacked layers are sent, because the engine does not show that it has their blobs${detail.namedByManifest ? " with the digests of the manifest" : ""}`;
    case "dry-push-skipped":
      return `no dry push of ${detail.image}: ${detail.error}`;
    case "dry-push-failed":
      return `the dry push of ${detail.image} failed: ${pushFailureText(detail.reason)}`;
    case "push-incomplete":
      return `the engine did not push all wanted layers of ${detail.image}: ${detail.reason === undefined ? "it gave no reason" : pushFailureText(detail.reason)}`;
    case "embedded-registry-failed":
      return `the embedded registry: ${detail.error}`;
    case "all-whole":
      return `missing layers are sent whole: ${WHOLE[detail.reason]}`;
    case "layer-not-cut":
      return `layer ${short(detail.diffId)} is sent whole: ${NOT_CUT[detail.reason]} (${bytes(detail.size)})`;
    case "layer-predicted": {
      const { diffId, chosen, msWhole, msByDelta, bytesPerSecond } = detail;
      return `layer ${short(diffId)} is sent ${chosen === "whole" ? "whole" : "by delta"}: predicted ${seconds(msByDelta)} by delta, ${seconds(msWhole)} whole, at ${bytes(bytesPerSecond)} a second`;
    }
    case "pieces-found":
      return `layer ${short(detail.diffId)}: ${bytes(detail.bytesFound)} of ${bytes(detail.bytes)} are in delta bases`;
    case "delta-base-unreadable":
      return `an image cannot be read as a delta base: ${detail.error}`;
    case "rebuild-failed":
      return `layer ${short(detail.diffId)} is sent whole: ${NOT_REBUILT[detail.reason]} (${detail.error})`;
    case "layer-continued":
      return `the layer ${detail.digest} is continued: ${bytes(detail.bytesPresent)} of ${bytes(detail.bytes)} are present`;
    case "layers-gone":
      return "layers of the image were removed from the engine meanwhile: they are requested now";
  }
}

const FOUND: Record<RemoteProgramName, string> = {
  installed: "",
  node: ", sent to the Node there",
  container: ", sent into a container",
  "node-sent": ", sent with Node",
};

const PRINTED_BY = {
  "remote-side": "before the tunnel opened, the remote side",
  "login-shell": "before the remote program started, the login shell",
};

const WHOLE: Record<WholeReason, string> = {
  option: "--delta never was given",
  "preserved-digest": "--preserve-digest sends layers as they are stored",
  "preserved-index": "several platforms are sent as they are stored",
  "other-version": "the remote side has another version of docker-over-ssh",
  "engine-alone": "one side is an engine alone",
  "one-machine": "both sides are on this machine",
  "one-connection": "the engine's files are behind one connection",
  "engine-pull": "the engine pulls by itself",
  "no-similar-image": "there is no similar image",
  "served-from-registry": "the sending side has them in a registry",
  "receiver-wants-whole": "the receiver wants whole layers",
};

const NOT_CUT: Record<NotCutReason, string> = {
  small: "it is small",
  zstd: "it is compressed with zstd, which this Node cannot decompress",
};

const NOT_REBUILT: Record<RebuildFailure, string> = {
  "no-recipe": "the sending side cannot cut it",
  "recipe-truncated": "the sending side could not cut all of it",
  "recipe-invalid": "the sending side's recipe or pieces are invalid",
  "no-space": "no space is left to rebuild it",
  "too-slow": "rebuilding it takes too long",
};

function leftoverText(leftover: Leftover): string {
  switch (leftover.kind) {
    case "container":
      return `container ${leftover.id.slice(0, 12)}`;
    case "image":
      return leftover.reference;
    case "file":
      return leftover.path;
  }
}

/** Completes "the engine does not …". */
function queryText(query: ContentQuery): string {
  switch (query.about) {
    case "image":
      return "tell whether it has the image";
    case "layers":
      return "list the blobs of the layers";
    case "layer":
      return `list the blob of ${query.diffId}`;
    case "manifest":
      return "return the manifest of a related image";
    case "blob":
      return `return the blob ${query.digest}`;
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

/** Returns the first 12 hex digits, as engines display digests. */
function short(digest: string): string {
  return digest.slice("sha256:".length).slice(0, 12);
}
