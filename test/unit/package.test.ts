import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "dos-package-"));
  await execa({ cwd: root })`npm pack --ignore-scripts --pack-destination ${folder}`;
  await execa({ cwd: folder })`npm init --yes`;
  // Without the optional ngrok: what is optional must not be needed.
  const archive = readdirSync(folder).find((name) => name.endsWith(".tgz")) ?? "";
  await execa({ cwd: folder })`npm install --omit=optional --no-audit --no-fund ./${archive}`;
}, 120_000);

afterAll(() => rmSync(folder, { recursive: true }));

describe("the package, installed in an empty folder", () => {
  test("runs", async () => {
    const { stdout } = await execa({ cwd: folder })`node_modules/.bin/docker-over-ssh --version`;
    expect(stdout).toMatch(/^\d+\.\d+\.\d+$/);
    const push = await execa({
      cwd: folder,
      reject: false,
    })`node_modules/.bin/docker-over-ssh push -H unix:///nowhere.sock app true`;
    expect(push.exitCode).toBe(4);
  });

  test("can be imported, and has types", async () => {
    const program =
      'import { push, pull, EXIT_STATUS } from "docker-over-ssh"; console.log(typeof push, typeof pull, EXIT_STATUS.usage)';
    const { stdout } = await execa({ cwd: folder })`node --input-type=module --eval ${program}`;
    expect(stdout).toBe("function function 2");
    expect((await execa({ cwd: folder })`ls node_modules/docker-over-ssh/dist/index.d.ts`).exitCode).toBe(0);
  });

  test("holds what it needs, and no more", async () => {
    const { stdout } = await execa({ cwd: folder })`ls -A node_modules/docker-over-ssh`;
    expect(stdout.split("\n").toSorted()).toEqual([
      "CHANGELOG.md",
      "LICENSE",
      "README.md",
      "bin",
      "dist",
      "docs",
      "package.json",
    ]);
  });
});

test("--help loads neither the engine's library nor the other heavy ones", async () => {
  // Speed is measured by `npm run bench`; what makes it is that these are imported by the commands that need them.
  // Hooks run in a thread whose `console` goes by way of the main one, which may end before it has printed: written
  // to the descriptor itself.
  const load =
    'import { writeSync } from "node:fs"; export async function load(url, context, next) { writeSync(2, url + "\\n"); return next(url, context); }';
  const hook = `import { register } from "node:module"; register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(load)}`)});`;
  const { stderr } =
    await execa`node --import ${`data:text/javascript,${encodeURIComponent(hook)}`} ${join(root, "bin/docker-over-ssh.js")} --help`;
  expect(stderr).toContain("commander");
  expect(stderr).not.toMatch(/dockerode|execa|http-proxy|bcrypt|ngrok/);
});
