import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { parseCommandLine } from "../../src/cli.ts";
import { chooseRegistry, NGROK_VARIABLE, REGISTRY_PORT_VARIABLE } from "../../src/registry/choose-registry.ts";

const read = (name: string): string => readFileSync(new URL(`../../examples/${name}`, import.meta.url), "utf8");
const doc = (name: string): string => readFileSync(new URL(`../../docs/${name}`, import.meta.url), "utf8");

interface CircleJob {
  docker: { image: string }[];
  environment: Record<string, string>;
  steps: (string | { run: { command: string } })[];
}

const text = read("circleci/config.yml");
const { deploy } = (parse(text) as { jobs: { deploy: CircleJob } }).jobs;
const commands = deploy.steps.flatMap((step) => (typeof step === "string" ? [] : [step.run.command]));

describe("examples/circleci/config.yml", () => {
  test("runs a registry next to the primary container, and passes its port to docker-over-ssh", () => {
    expect(deploy.docker.map(({ image }) => image.split(":")[0])).toEqual(["cimg/node", "registry"]);
    expect(chooseRegistry(undefined, deploy.environment)).toEqual({ kind: "external", host: "127.0.0.1", port: 5000 });
  });

  test("names exactly the variables that the code reads", () => {
    const named = new Set(text.match(/\b[A-Z]+_?DOCKER_[A-Z_]+|\bDOCKER_[A-Z_]+/g));
    expect([...named].toSorted()).toEqual([NGROK_VARIABLE, REGISTRY_PORT_VARIABLE].toSorted());
    expect(Object.keys(deploy.environment)).toEqual([REGISTRY_PORT_VARIABLE]);
  });

  test("installs the optional package that the ngrok variable needs", () => {
    expect(commands.join("\n")).toMatch(/npm install .*docker-over-ssh\S* .*@ngrok\/ngrok/);
  });

  test("names the same variables as the README next to it", () => {
    for (const name of [NGROK_VARIABLE, REGISTRY_PORT_VARIABLE, "DEPLOY_HOST"])
      expect(read("circleci/README.md")).toContain(name);
  });
});

/** Returns a word with a value in place of each variable. */
const valued = (word: string): string => word.replaceAll(/\$(?:\{\w+\}|\w+)/g, "v1");

test.each([
  ["circleci/config.yml", "app:${CIRCLE_SHA1}"],
  ["dokku/deploy.sh", "$image"],
])("%s: the command line is valid, and both sides name the same image", async (file, image) => {
  const line = /docker-over-ssh push (.*)/.exec(read(file))?.[1] ?? "";
  const words = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, bare]) => valued(quoted ?? bare ?? ""));
  const ignore = { out: () => {}, err: () => {} };
  const near = await parseCommandLine(["node", "docker-over-ssh", "push", ...words], {}, ignore);
  expect("job" in near && near.job.batch?.remotes[0].transfers[0]).toMatchObject({
    source: { given: valued(image) },
    connection: { kind: "command", words: words.slice(1) },
  });
  expect([words[0], words[1], words.at(-1)]).toEqual([valued(image), "ssh", `docker-over-ssh pull ${valued(image)}`]);
});

const readmes = readdirSync(new URL("../../examples", import.meta.url)).map((name) => `${name}/README.md`);

test("the command lines in the READMEs are valid", async () => {
  const lines = readmes.flatMap((readme) => [...read(readme).matchAll(/(?<=^|`)docker-over-ssh ([^`#>|\n]*)/gm)]);
  expect(lines.length).toBeGreaterThan(0);
  const ignore = { out: () => {}, err: () => {} };
  for (const [, words = ""] of lines) {
    const parsed = await parseCommandLine(["node", "docker-over-ssh", ...words.trim().split(/\s+/)], {}, ignore);
    expect(parsed).toHaveProperty("job");
  }
});

describe("the types of events", () => {
  const types = [...eventTypes(JSON.parse(doc("events.schema.json")) as EventSchema)];
  const sorted = (found: Iterable<RegExpExecArray>): string[] => Array.from(found, ([, type = ""]) => type).toSorted();

  test("in examples/library/README.md are those of a push or pull, except `error`, which is thrown", () => {
    const [row = ""] = /^\| follow it \|.*$/m.exec(read("library/README.md")) ?? [];
    const [list = ""] = /called for each event:[^;]*/.exec(row) ?? [];
    const ofTransfers = types.filter((type) => type !== "error" && !/build|built|dockerfile/.test(type));
    expect(sorted(list.matchAll(/`([\w-]+)`/g))).toEqual(ofTransfers.toSorted());
  });

  test("in docs/events.md are those of the schema", () => {
    expect(sorted(doc("events.md").matchAll(/^\| `([\w-]+)` \|/gm))).toEqual(types.toSorted());
  });
});

interface EventSchema {
  anyOf: readonly { properties: { type: { const: string } } }[];
}

function eventTypes({ anyOf }: EventSchema): Set<string> {
  return new Set(anyOf.map(({ properties }) => properties.type.const));
}
