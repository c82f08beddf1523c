import { describe, expect, test } from "vitest";
import {
  answerMessage,
  buildMessage,
  builtMessage,
  checkedMessage,
  parseAnswer,
  parseBuilder,
  parseBuildMessage,
  parseBuilt,
  parseChecked,
  parseQuestion,
} from "../../../src/conversation/build-messages.ts";
import type { BuildOrder } from "../../../src/engine/engine-builder.ts";

const order: BuildOrder = {
  names: ["app:v2", "registry.example.com/team/app:v2"],
  dockerfile: "deploy/Dockerfile",
  target: "build",
  buildArgs: { VERSION: "2" },
  labels: { team: "blue" },
  platform: { os: "linux", architecture: "arm64", variant: "v8" },
  noCache: true,
  pull: false,
  cacheFrom: ["app:cache"],
  network: "none",
  secrets: ["npm"],
  agents: ["default"],
  contextKey: `sha256:${"a".repeat(64)}`,
  contextPlace: `sha256:${"b".repeat(64)}`,
};

/** Returns the message after encoding and decoding as JSON. */
const sent = <T>(message: T): T => JSON.parse(JSON.stringify(message)) as T;

test("an order arrives unchanged", () => {
  const message = sent(buildMessage({ order, sendsContext: true, goal: { kind: "image", push: false } }));
  expect(parseBuildMessage(message)).toEqual({ order, sendsContext: true, goal: { kind: "image", push: false } });
});

test("an order without a name, or for a repository that the engine clones, arrives unchanged", () => {
  const cloned = { ...order, names: [], git: "https://example.com/app.git#main", platform: undefined };
  const message = sent(buildMessage({ order: cloned, sendsContext: false, goal: { kind: "image", push: false } }));
  expect(parseBuildMessage(message).order).toMatchObject({ names: [], git: "https://example.com/app.git#main" });
});

describe("rejects an order", () => {
  test.each<[string, object]>([
    ["whose Dockerfile leads out", { dockerfile: "../Dockerfile" }],
    ["whose Dockerfile is an absolute path", { dockerfile: "/etc/passwd" }],
    ["with a name that is none", { names: ["App"] }],
    ["with a context key that could be a path", { contextKey: "../../x" }],
    ["with a place that is no digest", { contextPlace: "x\r\ny" }],
    ["with a build argument that is no text", { buildArgs: { A: 1 } }],
    ["with more secrets than a build has", { secrets: Array.from({ length: 1001 }, () => "a") }],
    ["with an argument of a megabyte", { buildArgs: { A: "x".repeat(1e6) } }],
    ["with a platform that is none", { platform: "linux" }],
    ["with a flag that is none", { noCache: "yes" }],
  ])("%s", (_, changed) => {
    const { order: plain, ...message } = sent(
      buildMessage({ order, sendsContext: true, goal: { kind: "image", push: false } }),
    );
    expect(() => parseBuildMessage({ ...message, type: "build", order: { ...(plain as object), ...changed } })).toThrow(
      "broke the protocol",
    );
  });
});

test("an answer contains the credentials, the bytes of the secret, or the reason", () => {
  const credentials = { username: "me", password: "p" };
  expect(parseAnswer(sent(answerMessage({ id: 1, credentials })))).toMatchObject({ id: 1, credentials });
  const secret = Buffer.from([0, 255, 10]);
  expect(parseAnswer(sent(answerMessage({ id: 2, secret }))).secret).toEqual(secret);
  expect(parseAnswer(sent(answerMessage({ id: 3 })))).toEqual({ id: 3, agent: false });
  expect(parseAnswer(sent(answerMessage({ id: 4, error: "no" }))).error).toBe("no");
});

test("the outcome of a build arrives unchanged", () => {
  const built = {
    id: `sha256:${"1".repeat(64)}`,
    pushed: [{ name: "app:v2", digest: `sha256:${"2".repeat(64)}` }, { name: "app:latest" }],
    size: 1234,
    times: { context: 1, build: 2, push: 3 },
  };
  expect(parseBuilt(sent(builtMessage(built)))).toEqual(built);
  expect(() => parseBuilt({ ...sent(builtMessage(built)), id: "app:v2" })).toThrow("broke the protocol");
});

test("the order of a check and its findings arrive unchanged", () => {
  const message = sent(buildMessage({ order, sendsContext: true, goal: { kind: "check" } }));
  expect(parseBuildMessage(message)).toEqual({ order, sendsContext: true, goal: { kind: "check" } });
  expect(() => parseBuildMessage({ ...message, check: 1 })).toThrow("broke the protocol");
  const checked = { text: "WARNING: FromAsCasing\n", count: 1 };
  expect(parseChecked(sent(checkedMessage(checked)))).toEqual(checked);
  expect(parseChecked(sent(checkedMessage({ ...checked, error: "unknown instruction" }))).error).toBe(
    "unknown instruction",
  );
});

test.each<[string, object]>([
  ["a text of a megabyte", { text: "x".repeat(1e6) }],
  ["a count that is none", { count: -1 }],
  ["an error that is no text", { error: {} }],
])("rejects the outcome of a check with %s", (_, changed) => {
  const message = sent(checkedMessage({ text: "", count: 0 }));
  expect(() => parseChecked({ ...message, ...changed })).toThrow("broke the protocol");
});

test("rejects unknown questions and builders", () => {
  expect(() => parseQuestion({ type: "question", id: 1, kind: "file", name: "/etc/shadow" })).toThrow(
    "broke the protocol",
  );
  expect(() => parseBuilder({ type: "builder", kind: "kaniko", version: "1", platform: "linux/amd64" })).toThrow(
    "broke the protocol",
  );
});
