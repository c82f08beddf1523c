import { existsSync, readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { expect, test } from "vitest";

const root = resolve(import.meta.dirname, "../..");
/** Folders without pages of this project, or with very many files. */
const SKIPPED = new Set(["node_modules", "dist", ".git", "coverage"]);

async function pagesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const pages = entries.map(async (entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return SKIPPED.has(entry.name) ? [] : await pagesIn(path);
    return entry.name.endsWith(".md") ? [path] : [];
  });
  return (await Promise.all(pages)).flat();
}

/** Returns the anchors of a page's headings: lower case, without punctuation, with hyphens for spaces. */
function anchorsOf(page: string): string[] {
  const headings = readFileSync(page, "utf8").matchAll(/^#+ (.+)$/gm);
  return [...headings].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
      .replaceAll(/\s/g, "-"),
  );
}

/** Returns the broken links of a page, in Markdown and images, except for those with a scheme. */
function brokenLinksOf(page: string): string[] {
  const text = readFileSync(page, "utf8").replaceAll(/^```[\s\S]*?^```/gm, "");
  const links = [...text.matchAll(/\]\(([^)\s]+)\)|<img[^>]* src="([^"]+)"/g)].map(
    ([, link, src]) => link ?? src ?? "",
  );
  return links.filter((link) => {
    if (/^[a-z]+:/.test(link)) return false;
    const [path = "", anchor] = link.split("#");
    const target = path === "" ? page : resolve(dirname(page), path);
    if (!existsSync(target)) return true;
    return anchor !== undefined && target.endsWith(".md") && !anchorsOf(target).includes(anchor);
  });
}

test("the relative links of all pages resolve", async () => {
  const pages = await pagesIn(root);
  expect(pages.map((page) => relative(root, page))).toContain("README.md");
  const broken = pages.flatMap((page) => brokenLinksOf(page).map((link) => `${relative(root, page)}: ${link}`));
  expect(broken).toEqual([]);
});
