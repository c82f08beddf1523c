import { expect, test } from "vitest";
import type { Note, Plan, Stage, TransferResult, Warning } from "../../../src/output/events.ts";
import type { NoRoomReason } from "../../../src/output/reasons.ts";
import { isInSchema } from "./event-schema.ts";
import { noteText, planText, resultText, STAGE_TEXT, warningText } from "../../../src/output/texts.ts";

/** A note of each code, and its text. */
const NOTES: { [Code in Note["code"]]: [Extract<Note, { code: Code }>, string] } = {
  "engine-only": [
    { code: "engine-only", host: "prod", command: "docker system dial-stdio" },
    "remote side: docker system dial-stdio (the engine of prod alone: layers are sent whole)",
  ],
  "gitignore-applied": [
    { code: "gitignore-applied", file: ".gitignore" },
    "there is no .dockerignore: files that .gitignore ignores are not sent (--no-gitignore sends them)",
  ],
  "waiting-for-context": [
    { code: "waiting-for-context" },
    "waiting for another build of this project, which is sending its files to the remote side",
  ],
  "credentials-sent": [
    { code: "credentials-sent", registry: "registry.example.com" },
    "sending your credentials for registry.example.com to the builder, for this build",
  ],
  watching: [
    { code: "watching", images: ["app:v1", "db:v1"] },
    "watching app:v1, db:v1: an image is sent again when its tag moves; Ctrl-C stops",
  ],
  "connecting-in": [
    { code: "connecting-in", seconds: 4, error: "the connection to the remote side was lost" },
    "connecting again in 4 s: the connection to the remote side was lost",
  ],
  "link-not-kept": [
    { code: "link-not-kept", peerVersion: "0.1.0" },
    "the remote side is docker-over-ssh 0.1.0, which closes the link after a transfer: each transfer needs a connection of its own",
  ],
  "connecting-again": [
    { code: "connecting-again", host: "ssh://prod" },
    "connecting to ssh://prod once more, for the engine's gRPC (content store, BuildKit)",
  ],
  "running-there": [
    { code: "running-there", host: "prod", command: "docker compose up -d" },
    "running on prod: docker compose up -d",
  ],
  relaying: [
    { code: "relaying", host: "prod", hosts: ["ssh://b", "ssh://c"] },
    "prod passes the images on to ssh://b, ssh://c",
  ],
  "relay-not-planned": [
    { code: "relay-not-planned", host: "prod" },
    "the missing layers are not known yet: prod finds them when it has the images",
  ],
  "no-remote-shell": [
    { code: "no-remote-shell", host: "prod", status: 127 },
    "prod runs no commands of a POSIX shell (status 127): connecting once more, to the engine alone",
  ],
  "manifest-not-kept": [
    { code: "manifest-not-kept", address: "oci:layout" },
    "no manifest digest can be preserved: oci:layout stores no manifests; config and layers will be the same",
  ],
  "layers-kept": [
    { code: "layers-kept", bytes: 1_500_000 },
    "kept 1.5 MB of received layers: the next run continues from there",
  ],
  "one-by-one": [
    { code: "one-by-one", host: "ssh://prod" },
    "ssh://prod has an earlier version of docker-over-ssh, which accepts one image per connection: each other image is sent over a connection of its own",
  ],
  "image-pulled": [
    { code: "image-pulled", image: "node:24" },
    "the remote engine pulls node:24 once, for a container that runs docker-over-ssh there",
  ],
  "waiting-for-reader": [{ code: "waiting-for-reader", path: "pipe" }, "waiting for a program that reads pipe"],
  "setup-step": [
    { code: "setup-step", step: { did: "written", what: "launcher", name: "/home/x/.local/bin/docker-over-ssh" } },
    "wrote the launcher /home/x/.local/bin/docker-over-ssh",
  ],
  installed: [
    { code: "installed", host: "ssh://prod", isInPath: false },
    "transfers to ssh://prod now use this installation, although ~/.local/bin is not in the PATH of a non-login shell there",
  ],
  "build-waiting": [
    { code: "build-waiting", ahead: 2, image: "docker.io/library/app:v2" },
    "waiting for 2 earlier builds of docker.io/library/app:v2",
  ],
  "build-accepted": [
    { code: "build-accepted", id: "b1", server: "https://build.example.com" },
    "https://build.example.com has accepted the build: b1",
  ],
  "build-left": [
    { code: "build-left", id: "b1", server: "https://build.example.com" },
    "the build continues: b1 on https://build.example.com",
  ],
  "build-cancelled": [{ code: "build-cancelled", id: "b1" }, "cancelled the build: b1"],
  "build-goes-on": [{ code: "build-goes-on", seconds: 75 }, "still building (1 min 15 s)"],
  pruned: [{ code: "pruned", bytes: 1_500_000, isDryRun: true }, "1.5 MB of files would be removed"],
  "engine-not-pruned": [
    { code: "engine-not-pruned", reason: "there is no such socket" },
    "no engine was pruned: there is no such socket",
  ],
  checked: [
    {
      code: "checked",
      finding: { side: "there", check: "engine", state: "missing", text: "no\u001b[2J docker", toDo: "Install it." },
    },
    `missing  there  engine           no docker\n${" ".repeat(33)}to do: Install it.`,
  ],
  uninstalled: [{ code: "uninstalled", host: "ssh://prod" }, "no files of docker-over-ssh remain on ssh://prod"],
};

test.each<[Note, string]>([
  ...(Object.values(NOTES) as [Note, string][]),
  [{ code: "installed", host: "ssh://prod", isInPath: true }, "transfers to ssh://prod now use this installation"],
  [
    { code: "setup-step", step: { did: "left", reason: "in-use", what: "volume", name: "cache" } },
    "left the volume cache: a running transfer uses it",
  ],
  [{ code: "connecting-again" }, "connecting to the engine once more, for its gRPC (content store, BuildKit)"],
  [
    { code: "manifest-not-kept" },
    "no manifest digest can be preserved: the source of the image stores no manifests; config and layers will be the same",
  ],
])("%j", (note, text) => {
  expect(noteText(note)).toBe(text);
  expect(isInSchema({ type: "note", ...note })).toBe(true);
});

/** A warning of each code, and its text. */
const WARNINGS: { [Code in Warning["code"]]: [Extract<Warning, { code: Code }>, string] } = {
  "entries-skipped": [
    { code: "entries-skipped", count: 3, paths: ["run/app.sock", "pipe"] },
    "not sent, because they are sockets, pipes or devices: run/app.sock, pipe and 1 more",
  ],
  "context-large": [
    {
      code: "context-large",
      bytes: 2_500_000_000,
      files: 40_000,
      ignoreFile: ".dockerignore",
      largest: [{ path: "data", bytes: 2_000_000_000, ignoreLine: "/data" }],
    },
    "the context has 2.5 GB in 40000 files; to exclude files that the build does not need, add lines to .dockerignore:\n     2 GB  /data",
  ],
  "context-not-kept": [
    { code: "context-not-kept", error: "the folder is read-only" },
    "the remote side cannot keep the files for the next build: the folder is read-only",
  ],
  "platform-unknown": [
    { code: "platform-unknown", platform: "linux/unknown" },
    "the image's config does not name its whole platform (linux/unknown): an engine may be unable to run it",
  ],
  "platform-differs": [
    { code: "platform-differs", platform: "linux/arm64", enginePlatform: "linux/amd64" },
    "the image is for linux/arm64, and this engine runs linux/amd64",
  ],
  "no-room-for-files": [
    { code: "no-room-for-files", reason: { code: "disk-full" } },
    "layers are sent whole, because there is no room for files: no space left on the disk",
  ],
  "not-shared": [
    { code: "not-shared", reason: { code: "disk-full" } },
    "the image is read and compressed again for each host, because there is no room for files: no space left on the disk",
  ],
  "old-images-not-removed": [
    { code: "old-images-not-removed", error: "conflict" },
    "the image has arrived, but no older images were removed: conflict",
  ],
  "credentials-unreadable": [
    { code: "credentials-unreadable", file: "/home/me/.docker/config.json", error: "it is not JSON" },
    "the credentials in /home/me/.docker/config.json are not used: it is not JSON",
  ],
  "credentials-not-sent": [
    { code: "credentials-not-sent", registry: "docker.io", server: "http://build.example.com:8080" },
    "your credentials for docker.io are not sent: the connection to http://build.example.com:8080 is not encrypted (--registry-credentials always sends them)",
  ],
  "build-not-cancelled": [
    { code: "build-not-cancelled", id: "b1", error: "it answers 500" },
    "the build b1 could not be cancelled and continues: it answers 500",
  ],
  "credential-helper-failed": [
    {
      code: "credential-helper-failed",
      helper: "docker-credential-pass",
      registry: "example.com",
      error: "is not installed",
    },
    "docker-credential-pass is not installed: example.com is used without credentials",
  ],
  "sender-not-notified": [
    { code: "sender-not-notified" },
    "the image is stored under its name, but the sender could not be notified",
  ],
};

test.each(Object.values(WARNINGS) as [Warning, string][])("%j", (warning, text) => {
  expect(warningText(warning)).toBe(text);
  expect(isInSchema({ type: "warning", ...warning })).toBe(true);
});

const NO_ROOM: { [Code in NoRoomReason["code"]]: [Extract<NoRoomReason, { code: Code }>, string] } = {
  "disk-full": [{ code: "disk-full" }, "no space left on the disk"],
  "no-cache-folder": [{ code: "no-cache-folder" }, "there is no cache folder: this user's home folder is unknown"],
  "unsafe-cache-folder": [
    { code: "unsafe-cache-folder", error: "it is a link" },
    "the cache folder is not safe to use: it is a link",
  ],
  "no-folder": [
    { code: "no-folder", path: "/cache", error: "EROFS" },
    "cannot create a folder for layers in /cache: EROFS",
  ],
  "no-files": [
    { code: "no-files", error: "EMFILE" },
    "no files can be created in the cache folder to cut a layer: EMFILE",
  ],
};

test.each(Object.values(NO_ROOM) as [NoRoomReason, string][])("explains missing space for files: %j", (reason, text) =>
  expect(warningText({ code: "no-room-for-files", reason })).toBe(
    `layers are sent whole, because there is no room for files: ${text}`,
  ),
);

/** The text of each stage. */
const STAGE_TEXTS: Record<Stage, string> = {
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

test("each stage has a text", () => expect(STAGE_TEXT).toEqual(STAGE_TEXTS));

test("a plan shows the number of missing layers, if known", () => {
  const plan: Plan = { type: "plan", role: "sender", image: "app:v1", platform: "linux/amd64", layers: 4, missing: 1 };
  expect(planText(plan)).toBe("offering 1 of 4 layers of app:v1 for linux/amd64");
  expect(planText({ ...plan, role: "receiver" })).toBe("3 of 4 layers are already present");
  expect(planText({ ...plan, missing: undefined })).toBeUndefined();
});

test("a result counts the sent and the present layers", () => {
  const result: TransferResult = {
    role: "sender",
    image: "app:v1",
    id: "sha256:1",
    layersSent: 1,
    layersPresent: 3,
    bytesPresent: 0,
    bytesRebuilt: 0,
    bytesSent: 2000,
    bytesReceived: 50,
    ms: 1234,
  };
  expect(resultText(result)).toBe("pushed app:v1: 2 kB sent for 1 layer, 3 layers already present, in 1.2 s");
  const sizes = { bytesPresent: 5_000_000, bytesRebuilt: 3000 };
  expect(resultText({ ...result, ...sizes, role: "receiver", name: "app:v2" })).toBe(
    "pulled app:v1 as app:v2: 50 B received for 1 layer (3 kB rebuilt from files there), 3 layers (5 MB) already present, in 1.2 s",
  );
});
