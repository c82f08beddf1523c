import { expect, test } from "vitest";
import { parseV1Image, v1Ids } from "../../../../src/image/docker/v1-ids.ts";

/** The IDs of an image that Docker 20.10.24 has saved. */
const DIFF_IDS = [
  "sha256:5bfdae8643c70a63b83e2ef54dc38b74ba6b57e2122ddf0662943a93dd151ccb",
  "sha256:68a3589758e6ac58f583d3d86454a05c63e97a1d70edbd45e78b014aa66ae4b1",
  "sha256:6a49c7a3623ca6828796b765aebeca3d7fc75428ecbde36e2c1f3aede1ab46e8",
  "sha256:75bf6cedb83fa6395d5c246c455c08fe7993bda1d0ac783c43efb910cae42c6d",
];
const JSON_OF_ONE =
  '{"id":"5ae2fb99e91fc10dad06587e49a7c432c692a095e5f487259015b9b4c3f0a7fc","parent":"e1d2b1fec036d3fa9b7f6d4fd1b64052f60f7e8cab6c35fe9c843e08015ef598","created":"1970-01-01T00:00:00Z","container_config":{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":null,"Image":"","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":null},"os":"linux"}';

test("the diff IDs determine the folders of docker save", () => {
  const image = parseV1Image(Buffer.from(JSON_OF_ONE));
  expect(image?.hasProperties).toBe(false);
  if (image === undefined) throw new Error("not read");
  expect(v1Ids(DIFF_IDS, image.constants)).toEqual([
    "d1b8096460104a6f3245b661a87e0578f2ef7f8b9a25f931236e62d475acce09",
    "e1d2b1fec036d3fa9b7f6d4fd1b64052f60f7e8cab6c35fe9c843e08015ef598",
    "5ae2fb99e91fc10dad06587e49a7c432c692a095e5f487259015b9b4c3f0a7fc",
  ]);
});

test("the ID of the top layer depends on its config, and the properties of the config identify it", () => {
  const top = { ...(JSON.parse(JSON_OF_ONE) as object), architecture: "amd64" };
  expect(parseV1Image(Buffer.from(JSON.stringify(top)))?.hasProperties).toBe(true);
});

test.each(["", "[]", "null", "{", '{"created":5}'])("%j is not a v1 image", (text) => {
  expect(parseV1Image(Buffer.from(text))).toBeUndefined();
});
