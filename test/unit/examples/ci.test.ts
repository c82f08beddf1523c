import { readFileSync, statSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { beforeEach, expect, test } from "vitest";
import { layoutOf, look, whole, writeTree } from "../command-line/images.ts";
import { makeImage } from "../image/make-image.ts";
import { readCircleSteps, readGithubSteps, readGitlabSteps, type Step } from "./ci-steps.ts";
import { at, example, makeStandIns, runNear } from "./stand-ins.ts";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nbm9uZQ==\n-----END OPENSSH PRIVATE KEY-----";
const KNOWN_HOSTS = "server.example.com ssh-ed25519 bm9uZQ==";
const image = await makeImage([3000, 700]);

beforeEach(async () => {
  for (const name of ["near", "far", "calls"]) await rm(at(name), { recursive: true, force: true });
  await writeTree(at("near/images"), layoutOf([{ image, ref: `app:${COMMIT}` }]));
  await writeFile(at("near/key-file"), `${KEY}\n`);
  await writeFile(at("near/hosts-file"), `${KNOWN_HOSTS}\n`);
  await makeStandIns();
});

const github = readGithubSteps("github-actions/deploy.yml", {
  "github.sha": COMMIT,
  "secrets.DEPLOY_SSH_KEY": KEY,
  "secrets.DEPLOY_KNOWN_HOSTS": KNOWN_HOSTS,
  "vars.DEPLOY_HOST": "server.example.com",
});
const gitlab = readGitlabSteps("gitlab-ci/gitlab-ci.yml", { CI_COMMIT_SHA: COMMIT });
const gitlabFiles = { DEPLOY_SSH_KEY: at("near/key-file"), DEPLOY_KNOWN_HOSTS: at("near/hosts-file") };
const circle = readCircleSteps("circleci/machine.yml");

/** Each file with the shell in which the CI runs its scripts, and the variables of the project. */
test.each<[string, { shell: string[]; steps: Step[]; variables: Record<string, string>; writesKey: boolean }]>([
  ["github-actions/deploy.yml", { shell: ["bash", "-e", "-c"], steps: github, variables: {}, writesKey: true }],
  [
    "gitlab-ci/gitlab-ci.yml",
    {
      shell: ["sh", "-e", "-c"],
      steps: gitlab,
      variables: { ...gitlabFiles, DEPLOY_HOST: "server.example.com" },
      writesKey: true,
    },
  ],
  [
    "circleci/machine.yml",
    {
      shell: ["bash", "-eo", "pipefail", "-c"],
      steps: circle,
      variables: { CIRCLE_SHA1: COMMIT, DEPLOY_HOST: "deploy@server.example.com", DEPLOY_KNOWN_HOSTS: KNOWN_HOSTS },
      writesKey: false, // add_ssh_keys writes it
    },
  ],
])("%s: the image arrives, and the host starts it", async (_, { shell, steps, variables, writesKey }) => {
  for (const { script, env } of steps) {
    expect(await runNear([...shell, script], { ...variables, ...env })).toMatchObject({ exitCode: 0 });
  }
  expect(await look("oci", at("far/images"), `app:${COMMIT}`)).toEqual(whole(image));
  const calls = readFileSync(at("calls"), "utf8").split("\n");
  expect(new Set(calls.filter((call) => !call.startsWith("apk ")))).toEqual(
    new Set([
      "npm install --global ./docker-over-ssh-0.1.0.tgz",
      `docker build --tag app:${COMMIT} .`,
      "ssh server.example.com",
      "docker there: rm --force app",
      `docker there: run --detach --restart=always --name=app app:${COMMIT}`,
      "",
    ]),
  );
  expect(readFileSync(at("near/.ssh/known_hosts"), "utf8")).toBe(`${KNOWN_HOSTS}\n`);
  if (!writesKey) return;
  expect(readFileSync(at("near/.ssh/id_ed25519"), "utf8")).toBe(`${KEY}\n`);
  expect(statSync(at("near/.ssh/id_ed25519")).mode & 0o777).toBe(0o600);
});

test("github-actions/deploy.yml inserts no value into a script, because a shell would interpret it", () => {
  const scripts = readFileSync(example("github-actions/deploy.yml"), "utf8").matchAll(/run: [^]*?(?=\n {6}- |$)/g);
  expect([...scripts].join("\n")).not.toContain("${{");
});
