import { readFile, rm } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { readTar } from "../../matrix/saved-image.ts";
import { layoutOf, look, whole, writeTree } from "../command-line/images.ts";
import { makeImage } from "../image/make-image.ts";
import { at, example, makeStandIns, runNear } from "./stand-ins.ts";

const images = { "app:v1": await makeImage([3000, 200_000, 700]), "app:v2": await makeImage([3000, 200_000, 800]) };
await writeTree(at("near/images"), layoutOf(Object.entries(images).map(([ref, image]) => ({ image, ref }))));

/** An import reads a tar to its end, and fails without one. */
const K3S = `[ "$*" = "ctr images import -" ] && cat > ${at("imported.tar")} && tar -tf ${at("imported.tar")} > /dev/null`;
await makeStandIns({ "far/k3s": K3S });

const send = async (script: string, image: string) =>
  await runNear([example(`k3s/${script}`), image], { NODE: "deploy@node.example.com" });

/** Returns the names that containerd gives to the images of an archive. */
async function importedNames(): Promise<unknown> {
  const index = (await readTar(await readFile(at("imported.tar")))).get("index.json")?.toString() ?? "";
  const { manifests } = JSON.parse(index) as { manifests: { annotations: Record<string, string> }[] };
  return manifests.map(({ annotations }) => annotations["io.containerd.image.name"]);
}

describe.each(["import.sh", "import-missing.sh"])("%s", (script) => {
  test("k3s gets the whole image, under the name that a pod uses", async () => {
    for (const [name, image] of Object.entries(images)) {
      await rm(at("imported.tar"), { force: true });
      expect(await send(script, name)).toMatchObject({ exitCode: 0 });
      expect(await look("oci-archive", at("imported.tar"), name)).toEqual(whole(image));
      expect(await importedNames()).toEqual([`docker.io/library/${name}`]);
    }
  });

  test("fails if the image does not exist", async () => {
    expect((await send(script, "app:v3")).exitCode).not.toBe(0);
  });
});

test("import-missing.sh sends only layers that earlier images do not have", async () => {
  await rm(at("far/images"), { recursive: true, force: true });
  expect(await send("import-missing.sh", "app:v1")).toMatchObject({ exitCode: 0 });
  expect((await send("import-missing.sh", "app:v2")).stderr).toMatch(/pushed \S*app:v2: .* for 1 layer, 2 layers/);
});
