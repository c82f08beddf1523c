/**
 * Returns the patterns of a .gitignore, anchored at the top of the repository instead of in their own folder. This way, the patterns of
 * several files form one list, in which the last match decides. All text has one character for each byte.
 * @param folder the folder of the file, relative to the top of the repository; "" for the top itself
 */
export function linesForFolder(text: string, folder: string): string[] {
  const anchor = folder === "" ? "/" : `/${escapeForGitignore(folder)}/`;
  return text
    .replace(/^\xef\xbb\xbf/, "")
    .split(/\r?\n/)
    .map((line) => withoutTrailingSpaces(line))
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const sign = line.startsWith("!") ? "!" : "";
      const pattern = line.slice(sign.length);
      // A slash at the start or in the middle ties a pattern to its folder; others match at any depth.
      const isTied = pattern.slice(0, -1).includes("/");
      return `${sign}${anchor}${isTied ? pattern.replace(/^\//, "") : `**/${pattern}`}`;
    });
}

/** Escapes the characters that have a meaning in a pattern. */
function escapeForGitignore(path: string): string {
  return path.replaceAll(/[*?[\]\\!# ]/g, String.raw`\$&`);
}

/** Removes trailing spaces, which have no meaning unless a backslash precedes them. */
function withoutTrailingSpaces(line: string): string {
  let end = line.length;
  while (line[end - 1] === " " && !isEscaped(line, end - 1)) end -= 1;
  return line.slice(0, end);
}

function isEscaped(line: string, at: number): boolean {
  let start = at;
  while (line[start - 1] === "\\") start -= 1;
  return (at - start) % 2 === 1;
}
