import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

/**
 * Builds the page of `serve` from server/page/ into server/dist/page/files/. The names of scripts and styles contain the hash of their content, so
 * that browsers may cache them for ever. index.html refers to these names.
 */
export async function buildPage(root) {
  const from = `${root}server/page/`;
  const to = `${root}server/dist/page/files/`;
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [`${from}main.ts`, `${from}style.css`],
    bundle: true,
    format: "esm",
    platform: "browser",
    target: ["chrome119", "firefox121", "safari17.4"],
    minify: true,
    outdir: to,
    write: false,
    logLevel: "warning",
  });
  const files = outputFiles.map(({ path, contents }) => ({ name: path.slice(to.length), contents }));
  files.push({ name: "icon.svg", contents: readFileSync(`${from}icon.svg`) });
  mkdirSync(to, { recursive: true });
  let html = readFileSync(`${from}index.html`, "utf8");
  for (const { name, contents } of files) {
    const hash = createHash("sha256").update(contents).digest("hex").slice(0, 16);
    const hashed = name.replace(/\.\w+$/, (end) => `-${hash}${end}`);
    if (!html.includes(`"${name}"`)) throw new Error(`server/page/index.html does not name ${name}`);
    html = html.replace(`"${name}"`, `"page/${hashed}"`);
    writeFileSync(`${to}${hashed}`, contents);
  }
  writeFileSync(`${to}index.html`, html);
}
