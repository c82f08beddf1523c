/**
 * Compiles src/ into a new dist/, for programs that import the package, and bundles the command with its libraries into one file. A process
 * that reads one file starts 70 ms earlier than a process that reads 190 files, on each side of a transfer, and V8 can cache its compiled code.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants } from "node:zlib";
import { licencesOf } from "./licences.js";

const root = fileURLToPath(new URL("..", import.meta.url));
rmSync(`${root}dist`, { recursive: true, force: true });
const tsc = fileURLToPath(new URL("../node_modules/typescript/bin/tsc", import.meta.url));
const compile = (project) =>
  execFileSync(process.execPath, [tsc, "-p", project], { cwd: root, stdio: ["ignore", 2, 2] });
compile("tsconfig.build.json");

const { build } = await import("esbuild"); // setup.js, which imports this, may just have installed it
const options = {
  absWorkingDir: root,
  bundle: true,
  format: "cjs", // because Node accepts no cached code for an ES module
  platform: "node",
  target: "node20",
  write: false,
  logLevel: "warning",
};

/** Replaces Node's `Headers`, which take 20 ms to load. See plain-headers.ts. */
const plainHeaders = {
  name: "plain-headers",
  setup({ onLoad }) {
    onLoad({ filter: /@connectrpc[\\/].*\.js$/ }, ({ path }) => {
      const text = readFileSync(path, "utf8");
      const ours = `import { PlainHeaders as Headers } from ${JSON.stringify(`${root}dist/plain-headers.js`)};\n`;
      return { contents: /\bnew Headers\b/.test(text) ? ours + text : text };
    });
  },
};

const { version } = JSON.parse(readFileSync(`${root}package.json`, "utf8"));

/** Removes the descriptions, which are for people and other programs. This saves 26 kB. */
const withoutTexts = (key, value) => (key === "description" && typeof value === "string" ? undefined : value);
const eventSchema = JSON.parse(readFileSync(`${root}docs/events.schema.json`, "utf8"), withoutTexts);

/** Packages that may be missing: packages with native code, and the server, which imports this package. */
const NOT_BUNDLED = ["@ngrok/ngrok", "docker-over-ssh-server"];

/** Bundles the whole command into one function. It includes modules that a function imports, and evaluates them at the first call of that function. */
async function bundleCommand(more) {
  const { outputFiles, metafile } = await build({
    ...options,
    entryPoints: ["dist/main.js"],
    metafile: true,
    plugins: [plainHeaders],
    external: NOT_BUNDLED,
    define: {
      "import.meta.url": "fileUrl",
      PACKAGE_VERSION: JSON.stringify(version),
      EVENT_SCHEMA: JSON.stringify(eventSchema),
    },
    banner: {
      js: '(function (exports, require, module, __filename, __dirname, importModule, sentBundle) { const fileUrl = require("node:url").pathToFileURL(__filename);',
    },
    footer: { js: "})" },
    ...more,
  });
  const imported = (text, name) => text.replace(`import("${name}")`, `importModule("${name}")`); // see load-command.ts
  const command = NOT_BUNDLED.reduce(imported, outputFiles[0].text);
  if (/\bimport\(/.test(command)) throw new Error("another module is imported dynamically: see load-command.ts");
  return { command, inputs: Object.keys(metafile.inputs) };
}

/** The size hint makes brotli's output for the small bootstrap 8 % smaller. */
const packText = (text) =>
  brotliCompressSync(text, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: 11,
      [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT,
      [constants.BROTLI_PARAM_SIZE_HINT]: text.length,
    },
  });
const sha256 = (content) => createHash("sha256").update(content).digest("hex");

const { command, inputs } = await bundleCommand({});
const file = `command-${sha256(command).slice(0, 16)}.cjs`;
writeFileSync(`${root}dist/${file}`, command);
writeFileSync(`${root}dist/LICENCES.txt`, licencesOf(inputs, root));

// The bundle for a remote side that has only Node (src/remote/script/bundle.ts). It consists of the same files as the command, so LICENCES.txt in
// the package has its licences, which the minified text omits. The bootstrap contains only code of this project. The commands that a transfer
// does not need (doctor, prune, plugin, completion, setup) stay in it, because they are only 11 of 267 kB, and `setup` installs this file as the command.
const sent = Buffer.from(
  (await bundleCommand({ minify: true, charset: "ascii", legalComments: "none" })).command,
  "latin1",
);
const packed = packText(sent);
writeFileSync(`${root}dist/bundle.br`, packed);

/** Returns the code that runs first on the remote side (bootstrap or installer), as an argument of `node -e`. */
async function firstCode(entry) {
  const { outputFiles } = await build({
    ...options,
    entryPoints: [entry],
    minify: true,
    target: "node10",
    // Node 12 does not support the prefix.
    alias: Object.fromEntries(builtinModules.map((name) => [`node:${name}`, name])),
  });
  return packText(outputFiles[0].contents).toString("base64");
}

/** Bundles the code that starts the command from a file next to it. */
async function startCode(commandFile, more) {
  const define = { COMMAND_FILE: JSON.stringify(commandFile) };
  const { outputFiles } = await build({ ...options, entryPoints: ["dist/start.js"], define, ...more });
  return outputFiles[0].text;
}

const digest = sha256(sent);
writeFileSync(
  `${root}dist/bundle.json`,
  JSON.stringify({
    digest,
    size: packed.length,
    bootstrap: await firstCode("dist/bootstrap.js"),
    installer: await firstCode("dist/installer.js"),
    start: await startCode(`bundle-${digest.slice(0, 16)}.cjs`, { minify: true }), // the name that install-on-host.ts uses
  }),
);

writeFileSync(`${root}dist/start.cjs`, await startCode(file));

// The server imports this package, with the types that have just been written.
rmSync(`${root}server/dist`, { recursive: true, force: true });
compile("server/tsconfig.build.json");
const { buildPage } = await import("./build-page.js");
await buildPage(root);
