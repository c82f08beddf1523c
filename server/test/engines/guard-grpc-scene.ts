import { create } from "@bufbuild/protobuf";
import { expect } from "vitest";
import type { Engine } from "../../../test/testbed/engine.ts";
import { BASE } from "../../../test/testbed/build-base.ts";
import { ResultSchema } from "../../src/guard/buildkit/gen/gateway_pb.ts";
import { rawBuild, rawBuilder, refOf, refusalOf, type RawBuilder } from "../fixtures/guard/raw-builder.ts";

/** Two tenants' sockets, and the engine behind them */
export interface GrpcScene {
  engine: Engine;
  a: string;
  b: string;
}

const DECODER = new TextDecoder();

async function file(
  { bridge }: RawBuilder,
  ref: string,
  options: { headers: Record<string, string> },
): Promise<string> {
  return DECODER.decode((await bridge.readFile({ ref, filePath: "/file" }, options)).data);
}

/** Returns the content that a tenant's build reads from a file of its context, in a session with this key. */
async function readBack(builder: RawBuilder, text: string, key: string): Promise<string> {
  using session = builder.session({ Dockerfile: "FROM scratch\nCOPY file /file\n", file: text }, key);
  const build = rawBuild(builder, { session: session.id });
  const read = await file(builder, refOf(await build.solve()), build.options);
  await builder.bridge.return({}, build.options);
  await build.ended;
  return read;
}

/**
 * Checks that tenants do not share files by session key. The builder caches files by a key that the client chooses, and
 * requests only files whose size or time has changed.
 */
export async function sharedKeysAreIsolated(scene: GrpcScene): Promise<void> {
  using a = await rawBuilder(scene.a);
  using b = await rawBuilder(scene.b);
  const key = crypto.randomUUID();
  expect(await readBack(a, "secret of a", key)).toBe("secret of a");
  // Within one tenant the key is shared: a's second file looks like the first.
  expect(await readBack(a, "2nd file: a", key)).toBe("secret of a");
  expect(await readBack(b, "no secret b", key)).toBe("no secret b");
}

/** Checks that another tenant's session, build and results are unknown by their IDs */
export async function foreignIdsAreUnknown(scene: GrpcScene): Promise<void> {
  using a = await rawBuilder(scene.a);
  using b = await rawBuilder(scene.b);
  using session = a.session({ Dockerfile: "FROM scratch\nCOPY file /file\n", file: "of a" }, "key");
  const ref = crypto.randomUUID();
  const build = rawBuild(a, { session: session.id, ref });
  const result = refOf(await build.solve());

  const stealing = rawBuild(b, { session: session.id });
  const mixing = rawBuild(b, { session: "" });
  const both = { headers: { "buildkit-controlapi-buildid": `${crypto.randomUUID()}, ${ref}` } };
  const statuses = async (): Promise<void> => {
    for await (const status of b.control.status({ ref })) expect(status).toBeUndefined();
  };
  // In parallel, because the builder and the guard wait some seconds for a session or a build that may arrive.
  const tries: readonly (readonly [call: Promise<unknown>, sentence: RegExp])[] = [
    [stealing.solve(), /session/],
    [mixing.solve({ "local-sessionid:context": session.id, "local-sessionid:dockerfile": session.id }), /session/],
    [file(b, result, stealing.options), /not a result of this build/],
    [file(b, result, build.options), /no such build/],
    [b.bridge.ping({}, build.options), /no such build/],
    [b.bridge.return({}, build.options), /no such build/],
    [b.bridge.ping({}, both), /is not the ID of a build/],
    [statuses(), /no such build/],
  ];
  await Promise.all(tries.map(async ([call, sentence]) => expect(await refusalOf(call)).toMatch(sentence)));
  for (const { options, ended } of [stealing, mixing]) {
    await b.bridge.return({}, options);
    await ended;
  }

  expect(await file(a, result, build.options)).toBe("of a");
  await a.bridge.return({}, build.options);
  await build.ended;
}

const FORGED = Buffer.from(
  JSON.stringify({ architecture: "amd64", os: "linux", config: { Cmd: ["/forged"], Labels: { forged: "1" } } }),
);

/** Checks that clients cannot forge the config of an image, which is in the metadata of the result that they return. */
export async function returnsAreNotForged(scene: GrpcScene): Promise<void> {
  using b = await rawBuilder(scene.b);
  using session = b.session({ Dockerfile: "FROM scratch\nCOPY file /file\nCMD /true\n", file: "b" }, "key");
  const build = rawBuild(b, { session: session.id, name: "forged:v1" });
  const ref = refOf(await build.solve());
  const metadata = { "containerimage.config": FORGED, "containerimage.inlinecache": FORGED };
  const nobodys = create(ResultSchema, { result: { case: "ref", value: { id: "nobody's" } }, metadata });
  expect(await refusalOf(b.bridge.return({ result: nobodys }, build.options))).toContain(
    "what its Dockerfile has made",
  );
  const empty = create(ResultSchema, { metadata });
  expect(await refusalOf(b.bridge.return({ result: empty }, build.options))).toContain("what its Dockerfile has made");
  const own = create(ResultSchema, { result: { case: "ref", value: { id: ref } }, metadata });
  await b.bridge.return({ result: own }, build.options);
  expect(await build.ended).toHaveProperty(["containerimage.digest"]);
  const name = "guard.internal/b/docker.io/library/forged:v1";
  const { stdout } = await scene.engine.docker("inspect", "--type", "image", "--format", "{{json .Config}}", name);
  expect(stdout).toContain('"docker-over-ssh.guard.tenant":"b"');
  expect(stdout).toContain("/true");
  expect(stdout).not.toContain("forged");
}

/**
 * Checks that tenants' frontends do not run. A frontend is an image that creates any steps. Each is named like this
 * image, which cannot run: a successful build has not used it.
 */
export async function ownFrontendsDoNotRun(scene: GrpcScene): Promise<void> {
  using b = await rawBuilder(scene.b);
  const rest = `FROM ${BASE}\nRUN true\n`;
  for (const dockerfile of [
    `# syntax=${BASE}\n${rest}`,
    `\uFEFF#syntax = ${BASE}\n${rest}`,
    `#!/bin/sh\n# syntax=${BASE}\n${rest}`,
    `# escape=\\\n# SyNtAx=${BASE} with words\n${rest}`,
  ]) {
    using session = b.session({ Dockerfile: dockerfile }, "key");
    for (const attributes of [{}, { "build-arg:BUILDKIT_SYNTAX": BASE, cmdline: BASE }]) {
      const build = rawBuild(b, { session: session.id });
      const result = await build.solve(attributes);
      await b.bridge.statFile({ ref: refOf(result), path: "/" }, build.options);
      await b.bridge.return({ result: result.result }, build.options);
      expect(typeof (await build.ended)).toBe("object");
    }
  }
  using session = b.session({ Dockerfile: rest }, "key");
  const build = rawBuild(b, { session: session.id });
  const { bridge } = b;
  for (const frontend of ["gateway.v0", "", "Dockerfile.v0", "dockerfile.v0\0"]) {
    const call = bridge.solve({ frontend, frontendOpt: {} }, build.options);
    expect(await refusalOf(call)).toContain("may not be used here");
  }
  expect(await refusalOf(build.solve({ source: BASE }))).toContain("may not choose the frontend");
  await bridge.return({}, build.options);
  await build.ended;
}
