import { bytes, shortDigest } from "./describe.ts";
import type { ContentQuery, Detail, Leftover, NotCutReason, RebuildFailure, WholeReason } from "./details.ts";
import { pushFailureText } from "./reasons.ts";
import type { TunnelProgram } from "./remote-programs.ts";

/** Puts a step or a decision into words, for people who look for a reason (--verbose). */
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
      return `remote side: ${detail.program} cannot be used: ${detail.reason}`;
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
      return `${detail.image} cannot be sent from this machine: ${detail.error}`;
    case "noise":
      return `${PRINTED_BY[detail.printedBy]} printed: ${detail.text}`;
    case "tunnel-opened":
      return `the tunnel is open; the remote side is docker-over-ssh ${detail.peerVersion}`;
    case "leftover-removed":
      return `removed ${leftoverText(detail.leftover)}, left by a run that was killed`;
    case "archive-spooled":
      return `reading ${detail.path} into the cache folder${detail.bytesFree === undefined ? "" : `, which has ${bytes(detail.bytesFree)} free`}`;
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
      return `the engine did not push all wanted layers of ${detail.image}: ${pushFailureText(detail.reason)}`;
    case "embedded-registry-failed":
      return `the embedded registry: ${detail.error}`;
    case "all-whole":
      return `missing layers are sent whole: ${WHOLE[detail.reason]}`;
    case "layer-not-cut":
      return `layer ${shortDigest(detail.diffId)} is sent whole: ${NOT_CUT[detail.reason]} (${bytes(detail.size)})`;
    case "layer-predicted": {
      const { diffId, chosen, msWhole, msByDelta, bytesPerSecond } = detail;
      return `layer ${shortDigest(diffId)} is sent ${chosen === "whole" ? "whole" : "by delta"}: predicted ${seconds(msByDelta)} by delta, ${seconds(msWhole)} whole, at ${bytes(bytesPerSecond)} a second`;
    }
    case "pieces-found":
      return `layer ${shortDigest(detail.diffId)}: ${bytes(detail.bytesFound)} of ${bytes(detail.bytes)} are in delta bases`;
    case "delta-base-unreadable":
      return `an image cannot be read as a delta base: ${detail.error}`;
    case "rebuild-failed":
      return `layer ${shortDigest(detail.diffId)} is sent whole: ${NOT_REBUILT[detail.reason]} (${detail.error})`;
    case "layer-continued":
      return `continuing the layer ${detail.digest}: ${bytes(detail.bytesPresent)} of ${bytes(detail.bytes)} are present`;
    case "layers-gone":
      return "layers of the image were removed from the engine during the transfer: requesting them";
  }
}

const FOUND: Record<TunnelProgram, string> = {
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
  "one-connection": "all requests to the engine share one connection",
  "engine-pull": "the engine pulls the image",
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
      return "report whether it has the image";
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
