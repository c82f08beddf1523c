import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { expect, test } from "vitest";

/** Who may import whom: the picture in docs/architecture.md as a table. A room may always import itself. */
const ROOMS: Record<string, string[]> = {
  image: [],
  streams: [],
  delta: ["streams", "image"],
  packing: ["streams", "output"],
  output: [],
  files: [],
  "stdio-tunnel": ["files", "streams", "output"],
  engine: ["files", "streams", "output", "image"],
  registry: ["files", "streams", "output", "image", "engine", "packing"],
  store: ["files", "streams", "output", "image", "engine", "packing"],
  conversation: ["engine", "image", "output", "packing", "stdio-tunnel", "streams"],
  // Chapters of push.ts and pull.ts, not rooms below them: they wire the others.
  departure: ["conversation", "delta", "engine", "files", "image", "output", "packing", "registry", "store", "streams"],
  arrival: [
    "conversation",
    "delta",
    "engine",
    "files",
    "image",
    "output",
    "registry",
    "stdio-tunnel",
    "store",
    "streams",
  ],
  // Above them: it runs either of them, or both.
  far: "arrival conversation departure engine image output packing stdio-tunnel streams places.ts pull.ts push.ts transfer.ts version.ts".split(
    " ",
  ),
};

/** Libraries that one file alone may know, so that a change of library is a change of one file. */
const SOLE_IMPORTERS: Record<string, string> = {
  "@connectrpc/connect-node": "engine/grpc/connection.ts",
  commander: "cli.ts",
  "http-proxy-3": "registry/password-proxy.ts",
  "@ngrok/ngrok": "registry/ngrok.ts",
};

const src = join(import.meta.dirname, "../../src");
const files = readdirSync(src, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));

function importsOf(file: string): string[] {
  const text = readFileSync(join(src, file), "utf8");
  return [...text.matchAll(/(?:from|import\(|^import)\s*"([^"]+)"/gm)].map(([, name = ""]) => name);
}

test.each(Object.keys(ROOMS))("%s imports only what its place in the house allows", (room) => {
  const foreign = files
    .filter((file) => file.startsWith(`${room}/`))
    .flatMap((file) =>
      importsOf(file)
        .filter((name) => name.startsWith("."))
        .map((name) => ({ file, to: normalize(join(dirname(file), name)) })),
    )
    .filter(({ to }) => !to.startsWith(`${room}/`) && !ROOMS[room]?.includes(to.split("/")[0] ?? ""));
  expect(foreign).toEqual([]);
});

test("every room has a rule", () => {
  const rooms = new Set(files.filter((file) => file.includes("/")).map((file) => file.split("/")[0]));
  expect([...rooms].toSorted()).toEqual(Object.keys(ROOMS).toSorted());
});

test("the command line knows the two commands and nothing behind them", () => {
  const own = importsOf("cli.ts").filter((name) => name.startsWith("."));
  expect([...new Set(own)].toSorted()).toEqual([
    "./far/transfers.ts",
    "./packing/choice.ts",
    "./pull.ts",
    "./push.ts",
    "./transfer.ts",
    "./version.ts",
  ]);
});

test.each(Object.entries(SOLE_IMPORTERS))("only one file imports %s: %s", (library, importer) => {
  expect(files.filter((file) => importsOf(file).includes(library))).toEqual([importer]);
});

test("one file exits, and the ones that spawn are two", () => {
  const having = (text: string): string[] =>
    files.filter((file) => readFileSync(join(src, file), "utf8").includes(text)).toSorted();
  expect(having("process.exit(")).toEqual(["main.ts"]);
  expect(having('from "execa"')).toEqual(["engine/dial-stdio.ts", "stdio-tunnel/child-process.ts"]);
  expect(having("node:child_process")).toEqual([]);
});
