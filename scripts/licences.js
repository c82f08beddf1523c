import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const LINE = "-".repeat(80);

/**
 * Returns one text with the licences of all packages in a bundle of these files, each with its name and version. The licence of a package without
 * a licence file is at the beginning of its source files.
 */
export function licencesOf(inputs, root) {
  const packages = new Map();
  for (const input of inputs) {
    const [folder] = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input) ?? [];
    if (folder !== undefined) packages.set(folder, [...(packages.get(folder) ?? []), input]);
  }
  const read = (path) => readFileSync(join(root, path), "utf8").trim();
  const texts = [...packages].toSorted().map(([folder, files]) => {
    const { name, version, license } = JSON.parse(read(`${folder}/package.json`));
    const named = readdirSync(join(root, folder)).filter((file) => /^(?:licen[cs]e|copying|notice)/i.test(file));
    const words = named.length > 0 ? named.map((file) => read(`${folder}/${file}`)) : files.map(beginningOf);
    const all = [...new Set(words)].filter((text) => text !== "");
    if (all.length === 0) throw new Error(`${name} ${version} has no licence text`);
    return `${name} ${version}, ${license}\n\n${all.join("\n\n")}`;
  });
  return `The command contains this package and the following ones.\n\n${texts.join(`\n\n${LINE}\n\n`)}\n`;

  function beginningOf(file) {
    return (/^(?:\/\/.*\n)+/.exec(`${read(file)}\n`)?.[0] ?? "").trim();
  }
}
