import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { layoutOf, look, whole, writeTree } from "../command-line/images.ts";
import { makeImage } from "../image/make-image.ts";
import { at, example, makeStandIns, runNear } from "./stand-ins.ts";

const images = [
  { image: await makeImage([3000, 700]), ref: "app:v1" },
  { image: await makeImage([3000, 800]), ref: "app:v2" },
];
await writeTree(at("near/images"), layoutOf(images));
await makeStandIns();

interface Resource {
  kind: string;
  metadata: { name: string; namespace?: string };
}

test("push.sh sends images to the pod of dind.yaml when it is ready", async () => {
  const yaml = parseAllDocuments(readFileSync(example("kubectl-exec/dind.yaml"), "utf8"));
  const [namespace, pod] = yaml.map((document) => document.toJS() as Resource);
  expect([namespace?.kind, pod?.kind]).toEqual(["Namespace", "Pod"]);
  expect(pod?.metadata.namespace).toBe(namespace?.metadata.name);
  const [where, name] = [`${namespace?.metadata.name}`, `${pod?.metadata.name}`];

  expect(await runNear([example("kubectl-exec/push.sh"), "app:v1", "app:v2"])).toMatchObject({ exitCode: 0 });
  const calls = readFileSync(at("calls"), "utf8").trim().split("\n");
  expect(calls[0]).toContain("kubectl apply --filename /");
  expect(calls[1]).toMatch(new RegExp(`^kubectl wait --for=condition=Ready .*--namespace=${where} pod/${name}$`));
  expect(new Set(calls.slice(2))).toEqual(new Set([`kubectl exec -i -n ${where} ${name}`]));
  for (const { image, ref } of images) expect(await look("oci", at("far/images"), ref)).toEqual(whole(image));
});
