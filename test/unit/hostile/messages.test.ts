/** A hostile sender of messages. The receiver loads nothing, and its cache folder is empty afterwards. */
import { describe, expect, test } from "vitest";
import { gzipped, ociBlobs, plain, type Pack } from "../image/make-image.ts";
import { GB, image, other, type Row } from "./attacks.ts";
import { pullFrom } from "./hostile-sender.ts";
import { outcome, refused } from "./run-program.ts";

const [first = "", second = ""] = image.diffIds;
/** Returns the image's manifest with layers packed by `pack`, encoded as in a message. */
const manifestIn = (pack: Pack): string => ociBlobs(image, pack).manifest.bytes.toString("base64");

describe.concurrent("invalid messages", () => {
  test.each<Row>([
    [
      "about: 10,000 layers",
      { about: { diffIds: Array(10_000).fill(first) } },
      1,
      /broke the protocol: a malformed list/,
    ],
    [
      "about: layers in another order",
      { about: { diffIds: [second, first] } },
      12,
      /its config names other layers than were offered/,
    ],
    ["about: a missing layer", { about: { diffIds: [first] } }, 12, /its config names other layers than were offered/],
    [
      "about: another platform than requested",
      { options: ["--platform", "linux/arm64"] },
      13,
      /sends the image for linux\/amd64, not for linux\/arm64/,
    ],
    [
      "about: the requested platform, and a config for another",
      { options: ["--platform", "linux/arm64"], about: { platform: "linux/arm64" } },
      12,
      /its config is for linux\/amd64, and linux\/arm64 was offered/,
    ],
    ["about: an invalid manifest", { about: { manifest: "e30=" } }, 1, /a malformed manifest/],
    [
      "about: another manifest than served",
      {
        about: { manifest: manifestIn(gzipped) },
        manifest: (honest) => ({ ...honest, annotations: { another: "1" } }),
      },
      12,
      /its manifest is not the one that was announced/,
    ],
    [
      "about: a manifest that names other blobs",
      { about: { manifest: manifestIn(plain) }, manifest: () => ociBlobs(image, plain).manifest.bytes },
      12,
      /the layer sha256:[0-9a-f]{64} is sent as another blob than its manifest names/,
    ],
    ["offer: a repository that is a path", { offer: { repository: "../../etc" } }, 1, /a malformed name/],
    ["offer: no password", { offer: { credentials: null } }, 1, /a malformed text/],
    [
      "layer: announced twice",
      { announce: ([one, ...rest]) => [one ?? {}, one ?? {}, ...rest] },
      1,
      /a malformed layer, which was not wanted/,
    ],
    [
      "layer: not requested",
      { announce: ([one]) => [{ ...one, diffId: other.diffIds[0] }] },
      1,
      /which was not wanted/,
    ],
    [
      "layer: more than the image has",
      { announce: (all) => [...all.slice(1), ...Array.from({ length: 10_000 }, () => all[1] ?? {})] },
      1,
      /which was not wanted/,
    ],
    ["layer: a negative size", { announce: ([one]) => [{ ...one, size: -1 }] }, 1, /a malformed number/],
    [
      "layer: larger than any disk",
      { announce: ([one]) => [{ ...one, size: 2 ** 50 }] },
      11,
      /no room for a layer of 1\.1 PB/,
    ],
    [
      "layer: larger than --max-size",
      { announce: ([one]) => [{ ...one, size: GB }], options: ["--max-size", "500m"] },
      13,
      /larger than the 524288000 bytes/,
    ],
    [
      "layer: a wrong digest",
      { announce: ([one, two]) => [{ ...one, digest: two?.digest }] },
      12,
      /a layer failed verification/,
    ],
    [
      "layer: a media type of two lines",
      { announce: ([one]) => [{ ...one, mediaType: "a\r\nb" }] },
      1,
      /a malformed name/,
    ],
  ])("%s", async (_, attack, status, message) =>
    expect(outcome(await pullFrom(image, attack))).toEqual(refused(status, message)),
  );
});
