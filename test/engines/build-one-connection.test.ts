import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { dialStdio } from "../../src/engine/connect/dial-stdio.ts";
import { openEngine } from "../../src/engine/open/open-engine.ts";
import { buildImage } from "../testbed/build-image.ts";
import { whyNotKind } from "../testbed/engine-packages.ts";
import type { Engine } from "../testbed/engine.ts";
import { startTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { memoryContext } from "../unit/engine/build/memory-context.ts";
import { why } from "./bed.ts";

const whyNot = why ?? (await whyNotKind("29-containerd"));
const BASE = "docker.io/library/build-one:v1";
let bed: Testbed;

beforeAll(async () => {
  if (whyNot) return;
  bed = await startTestbed({ near: { kind: "29-containerd" }, far: { kind: "28.5" } });
  for (const engine of [bed.near, bed.far]) await buildImage(engine, "build-one:v1");
});

afterAll(async () => await bed?.[Symbol.asyncDispose]());

describe.skipIf(whyNot)(`a build over the stdin and stdout of a program ${whyNot ?? ""}`, () => {
  test.each([
    { kind: "29", with: "nothing", secrets: [], connections: 1 },
    { kind: "29", with: "a secret", secrets: ["token"], connections: 1 },
    { kind: "29", with: "synchronised files", secrets: [], syncsFiles: true, connections: 1 },
    { kind: "28.5", with: "nothing", secrets: [], connections: 1 },
    { kind: "28.5", with: "a secret", secrets: ["token"], connections: 2 },
  ])("Docker $kind, $with: connections opened: $connections", async ({ kind, secrets, syncsFiles, connections }) => {
    let opened = 0;
    const open = () => {
      opened += 1;
      return dial(kind === "29" ? bed.near : bed.far);
    };
    const address = { protocol: "stream", open, another: open, speaksHttp2: kind === "29" } as const;
    await using engine = await openEngine({ host: "docker system dial-stdio", source: "test", address });
    const secret = secrets.length === 0 ? "" : "--mount=type=secret,id=token cat /run/secrets/token &&";
    const files = { Dockerfile: `FROM ${BASE}\nCOPY file /\nRUN ${secret} cat /file\n`, file: "the file" };
    const order = { names: [], dockerfile: "Dockerfile", buildArgs: {}, labels: {}, noCache: true, pull: false };
    let log = "";
    const { id, served } = await engine.build(
      { ...order, cacheFrom: [], secrets, agents: [], contextKey: "one" },
      memoryContext(files),
      {
        answers: {
          credentials: async () => undefined,
          secret: async () => Buffer.from("the secret, "),
          agent: async () => await Promise.reject(new Error("no agent")),
        },
        signal: new AbortController().signal,
        syncsFiles,
        onEvent: (event) => void (event.type === "step-log" && (log += event.text)),
      },
    );
    expect(id).toMatch(/^sha256:/);
    expect(log).toContain(secrets.length === 0 ? "the file" : "the secret, the file");
    expect(served !== undefined).toBe(syncsFiles === true);
    expect(opened).toBe(connections);
    expect((await engine.info()).version).toMatch(kind === "29" ? /^29\./ : /^2\d\./); // the connection still serves
  });
});

function dial({ host, env }: Engine) {
  return dialStdio("env", [`PATH=${env.PATH}`, "docker", "-H", host, "system", "dial-stdio"]);
}
