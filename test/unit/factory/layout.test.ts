import { describe, expect, test } from "vitest";
import { appContext } from "../../../src/factory/app-context.ts";
import { findLayout } from "../../../src/factory/layout.ts";
import { comparePaths } from "../../../src/build-context/paths.ts";
import { contentOf, fakeContext, type FakeFiles } from "./fake-context.ts";

const { signal } = new AbortController();
const layoutOf = async (files: FakeFiles, dockerfile?: string): Promise<unknown> =>
  await findLayout(fakeContext(files), dockerfile, signal);
const isScript = { isExecutable: false, hasInterpreter: true };

describe("a tree that can be built", () => {
  test("has a Dockerfile", async () =>
    expect(await layoutOf({ Dockerfile: "FROM scratch\n", "build.sh": "" })).toEqual({
      kind: "dockerfile",
      dockerfile: "Dockerfile",
    }));
  test("has the one that is named", async () =>
    expect(await layoutOf({ docker: null, "docker/app": "FROM scratch\n" }, "docker/app")).toEqual({
      kind: "dockerfile",
      dockerfile: "docker/app",
    }));
  test("has a link to one", async () =>
    expect(await layoutOf({ Dockerfile: { link: "docker/../docker/app" }, docker: null, "docker/app": "" })).toEqual({
      kind: "dockerfile",
      dockerfile: "Dockerfile",
    }));
  test("has two scripts with an interpreter", async () =>
    expect(await layoutOf({ "build.sh": "#!/bin/sh\n", "run.sh": "#!/bin/sh\n" })).toEqual({
      kind: "scripts",
      build: isScript,
      run: isScript,
    }));
  test("has two executable ones", async () =>
    expect(
      await layoutOf({
        "build.sh": { content: "make", mode: 0o755 },
        "run.sh": { content: "\u007fELF…", mode: 0o711 },
      }),
    ).toEqual({
      kind: "scripts",
      build: { isExecutable: true, hasInterpreter: false },
      run: { isExecutable: true, hasInterpreter: true },
    }));
});

describe("a tree that cannot be built", () => {
  test.each<[string, FakeFiles, string | undefined, string]>([
    ["nothing", {}, undefined, "the archive has neither a Dockerfile nor build.sh and run.sh at its root"],
    ["one script", { "build.sh": "#!/bin/sh\n" }, undefined, "the archive has build.sh at its root, and no run.sh"],
    ["the other one", { "run.sh": "#!/bin/sh\n" }, undefined, "the archive has run.sh at its root, and no build.sh"],
    [
      "a folder as a script",
      { "build.sh": "#!/bin/sh\n", "run.sh": null },
      undefined,
      "run.sh at the root of the archive is not a file",
    ],
    [
      "a folder as a Dockerfile",
      { Dockerfile: null, "Dockerfile/x": "", y: "" },
      undefined,
      "the archive has neither a Dockerfile nor build.sh and run.sh at its root",
    ],
    [
      "a Dockerfile that leads out",
      { Dockerfile: { link: "../y" }, y: "" },
      undefined,
      "the archive has neither a Dockerfile nor build.sh and run.sh at its root",
    ],
    [
      "a circle of links",
      { Dockerfile: { link: "a" }, a: { link: "Dockerfile" } },
      undefined,
      "the archive has neither a Dockerfile nor build.sh and run.sh at its root",
    ],
    ["not the one that is named", { Dockerfile: "", "build.sh": "" }, "other", "there is no file other in the archive"],
    [
      "a script that nothing can run",
      { "build.sh": "make\n", "run.sh": "#!/bin/sh\n" },
      undefined,
      "build.sh cannot be started: it is not executable, and does not begin with #!",
    ],
    [
      "a single folder",
      { "app-1.0": null, "app-1.0/Dockerfile": "" },
      undefined,
      'the archive has neither a Dockerfile nor build.sh and run.sh at its root, only the folder "app-1.0"',
    ],
  ])("has %s", async (_, files, dockerfile, message) => {
    await expect(layoutOf(files, dockerfile)).rejects.toMatchObject({ code: "not-buildable", message });
  });

  test("--strip 1 is named for a single folder alone", async () => {
    await expect(layoutOf({ a: null, "a/Dockerfile": "" })).rejects.toMatchObject({
      hint: "Use --strip 1, which makes that folder the root.",
    });
    await expect(layoutOf({ a: null, "a/Dockerfile": "", b: "" })).rejects.toMatchObject({
      hint: expect.not.stringContaining("--strip") as string,
    });
  });
});

describe("scripts get a Dockerfile", () => {
  const files: FakeFiles = {
    Dockerfile: null,
    "build.sh": { content: "make", mode: 0o755 },
    copy: { hardLink: "build.sh" },
    link: { link: "../elsewhere" },
    "run.sh": "#!/bin/sh\n",
  };

  test("beside their tree, so that no name clashes", async () => {
    const tree = fakeContext(files);
    const layout = await findLayout(tree, undefined, signal);
    if (layout.kind !== "scripts") throw new Error("no scripts");
    const context = appContext(tree, layout, "base:v1");
    expect(context.entries.map(({ path }) => path)).toEqual([
      "Dockerfile",
      "app",
      "app/Dockerfile",
      "app/build.sh",
      "app/copy",
      "app/link",
      "app/run.sh",
    ]);
    expect(context.entries.map(({ path }) => path).toSorted(comparePaths)).toEqual(
      context.entries.map(({ path }) => path),
    );
    expect(context.entries[4]).toMatchObject({ kind: "hard-link", target: "app/build.sh" });
    expect(context.entries[5]).toMatchObject({ kind: "symlink", target: "../elsewhere" });
    expect(await contentOf(context, "app/build.sh")).toBe("make");
    const text = await contentOf(context, "Dockerfile");
    expect(text).toBe(`FROM base:v1
WORKDIR /app
COPY app /app
RUN chmod +x run.sh
RUN ["/bin/sh","/app/build.sh"]
CMD ["/app/run.sh"]
`);
    expect(context.entries[0]).toMatchObject({ size: text.length });
    await context[Symbol.asyncDispose]();
    expect(tree.isClosed()).toBe(true);
  });
});
