import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bed, why } from "../../../test/engines/bed.ts";
import { containerd } from "../../../test/engines/containerd-pair.ts";
import { removeTenantImages } from "../../src/guard/images/remove-tenant-images.ts";
import { callerOf, tenantOf } from "../fixtures/guard/tenants.ts";
import { anyList, engineNameOf, filesOf, openScene, plainly, tagsOf, type Scene } from "./guard-images-scene.ts";

const signal = new AbortController().signal;
const noImage = { statusCode: 404, message: expect.stringContaining("No such image") as string };
const hosts: Record<string, () => string> = {
  "graph driver": () => bed.far.host,
  "containerd store": () => containerd.near.host,
};

describe.skipIf(why).each(Object.keys(hosts))(`images of tenants, ${why ?? ""}%s`, (store) => {
  let scene: Scene;
  beforeAll(async () => (scene = await openScene(hosts[store]?.() ?? "")));
  afterAll(async () => await scene?.[Symbol.asyncDispose]());

  test("a tenant can neither see nor name, tag, save, push or remove images of another tenant and the host", async () => {
    const { a, b, images, own, pushed } = scene;
    await scene.make(a, engineNameOf(a, "app:v1"), "a");
    const idB = await scene.make(b, engineNameOf(b, "app:v1"), "b");
    await scene.make(b, engineNameOf(b, "secret:v1"), "secret");
    const idHost = await scene.make(undefined, "scene-host:v1", "host");
    const before = await scene.names();

    expect(tagsOf(await images.list(a, { ...anyList, all: true }))).toEqual(["app:v1"]);
    expect(tagsOf(await images.list(b, { ...anyList, all: true }))).toEqual(["app:v1", "secret:v1"]);
    const foreign = ["secret:v1", "scene-host:v1", idB, idB.slice(7), idB.slice(7, 19), idB.slice(0, 20), idHost];
    const digest = `app@${idB}`;
    for (const name of [...foreign, digest]) {
      await expect(images.inspect(a, name, { manifests: false })).rejects.toMatchObject(noImage);
      await expect(images.history(a, name, {})).rejects.toMatchObject(noImage);
      await expect(images.tag(a, name, "mine:v1")).rejects.toMatchObject(noImage);
      await expect(images.save(a, [name], {})).rejects.toMatchObject(noImage);
      await expect(images.remove(a, name, { force: true, noPrune: false })).rejects.toMatchObject(noImage);
      await expect(own.find(a.tenant.id, name, signal)).rejects.toMatchObject(noImage);
    }
    for (const name of ["secret:v1", "scene-host:v1"])
      await expect(images.push(a, name, { onLine: () => {} })).rejects.toMatchObject(noImage);
    await expect(images.inspect(a, engineNameOf(b, "app:v1"), { manifests: false })).rejects.toMatchObject({
      rule: "name.reserved",
    });
    await expect(images.tag(a, "app:v1", engineNameOf(b, "app:v1"))).rejects.toMatchObject({ rule: "name.reserved" });
    await expect(own.take(a.tenant, idHost, signal)).rejects.toMatchObject({ rule: "image.not-stamped" });
    expect(await images.list(a, { ...anyList, references: ["secret*"] })).toEqual([]);
    await expect(images.list(a, { ...anyList, since: ["secret:v1"] })).rejects.toMatchObject(noImage);
    expect(pushed).toEqual([]);
    expect(await scene.names()).toEqual(before);

    await images.remove(a, "app:v1", { force: true, noPrune: false });
    expect(tagsOf(await images.list(b, anyList))).toEqual(["app:v1", "secret:v1"]);
    await removeTenantImages(scene, b.tenant.id, signal);
    expect(await scene.names()).toEqual(before.filter((name) => !name.startsWith("guard.internal/scene-")));
    await scene.engine.json({ method: "DELETE", path: `/images/${idHost}`, signal });
  });

  test("lists, inspects, tags, saves and removes an image by the tenant's names and by its ID", async () => {
    const { a, images, own } = scene;
    const id = await scene.make(a, engineNameOf(a, "app:v1"), "one");
    await images.tag(a, "app:v1", "registry.example.com:5000/team/app:v2");
    const both = ["app:v1", "registry.example.com:5000/team/app:v2"];
    expect(tagsOf(await images.list(a, anyList))).toEqual(both);
    expect(tagsOf(await images.list(a, { ...anyList, references: ["app"] }))).toEqual(["app:v1"]);
    expect(await own.find(a.tenant.id, id.slice(7, 12), signal)).toMatchObject({ id });
    const inspected = await images.inspect(a, id.slice(7, 19), { manifests: false });
    expect((inspected["RepoTags"] as string[]).toSorted()).toEqual(both);
    expect(inspected).toMatchObject({ Id: id, Config: { Labels: { "docker-over-ssh.guard.tenant": "scene-a" } } });
    expect(JSON.stringify(inspected)).not.toMatch(/guard\.internal|MergedDir/);
    expect(await images.history(a, "app:v1", {})).toMatchObject([{ Id: id, Tags: expect.arrayContaining(["app:v1"]) }]);

    const { texts } = await filesOf(await images.save(a, ["app:v1"], {}));
    expect(texts["manifest.json"]).toContain('"RepoTags":["app:v1"]');
    expect(JSON.stringify(texts)).not.toContain("guard.internal");
    const unnamed = await filesOf(await images.save(a, [id], {}));
    expect(JSON.stringify(unnamed.texts)).not.toMatch(/guard\.internal|app:v1/);

    await expect(images.remove(a, id, plainly)).rejects.toMatchObject({ statusCode: 409 });
    const removed = await images.remove(a, id, { force: true, noPrune: false });
    expect(removed.map(({ Untagged }) => Untagged).filter((name) => !String(name).includes("@"))).toEqual(
      expect.arrayContaining(both),
    );
    expect(removed).toContainEqual({ Deleted: id });
    await expect(own.find(a.tenant.id, id, signal)).rejects.toMatchObject(noImage);
  });

  test("saves an archive that can be loaded, with the tenant's name", async () => {
    const { a, engine, images } = scene;
    await scene.make(a, engineNameOf(a, "saved:v1"), "x".repeat(3_000_000));
    const saved = await images.save(a, ["saved"], {});
    const headers = { "content-type": "application/x-tar" };
    const { body } = await engine.request({ method: "POST", path: "/images/load", headers, body: saved, signal });
    await filesOf(body).catch(() => {});
    expect(await scene.names()).toContain("saved:v1");
    await engine.json({ method: "DELETE", path: "/images/saved:v1", signal });
    await images.remove(a, "saved:v1", plainly);
  });

  test("finds an image whose name moved to a newer one by its ID, and only untags it where the host has a name", async () => {
    const { a, engine, images } = scene;
    const old = await scene.make(a, engineNameOf(a, "app:latest"), "old");
    const newer = await scene.make(a, engineNameOf(a, "app:latest"), "newer");
    const dangling = await images.list(a, { ...anyList, dangling: true });
    expect(dangling).toMatchObject([{ Id: old, RepoTags: [] }]);
    expect(await images.remove(a, old.slice(7, 19), plainly)).toContainEqual({ Deleted: old });

    const query: [string, string][] = [
      ["repo", "scene-kept"],
      ["tag", "v1"],
    ];
    (await engine.request({ method: "POST", path: `/images/${newer}/tag`, query, signal })).body.resume();
    const removed = await images.remove(a, newer, { force: true, noPrune: false });
    expect(removed).toContainEqual({ Untagged: "app:latest" });
    expect(removed).not.toContainEqual({ Deleted: newer });
    expect(await images.list(a, anyList)).toEqual([]);
    expect(await scene.names()).toContain("scene-kept:v1");
    await engine.json({ method: "DELETE", path: "/images/scene-kept:v1", signal });
  });

  test("lists steps of the classic builder with --all, and removes them with the image", async () => {
    const { a, images, own } = scene;
    const steps = await scene.build(a, engineNameOf(a, "steps:v1"), "FROM scratch\nCOPY file /one\nCOPY file /two\n");
    const last = steps.at(-1) ?? "";
    await own.takeIntermediate(a.tenant, steps.slice(0, -1));
    await own.take(a.tenant, last, signal);
    expect(await images.list(a, anyList)).toHaveLength(1);
    expect((await images.list(a, { ...anyList, all: true })).map(({ Id }) => Id).toSorted()).toEqual(steps.toSorted());
    const removed = await images.remove(a, "steps:v1", plainly);
    for (const Deleted of steps) expect(removed).toContainEqual({ Deleted });
    expect(scene.ledger.read(a.tenant.id).images).toEqual([]);
  });

  test("sends only the events of the tenant's images", async () => {
    const { a, b, images } = scene;
    const ending = new AbortController();
    const seen: string[] = [];
    const watched = (async () => {
      for await (const { Action, Actor } of images.events({ ...a, signal: ending.signal }, { filters: {} })) {
        const { ID, Attributes } = Actor as { ID: string; Attributes: { name: string } };
        seen.push(`${String(Action)} ${ID === Attributes.name ? ID : Attributes.name}`);
        if (Action === "delete") ending.abort();
      }
    })();
    // The first events may occur before the engine has begun to send them.
    let id = "";
    while (seen.length === 0) {
      await scene.make(b, engineNameOf(b, "app:v1"), "b");
      id = await scene.make(a, engineNameOf(a, "app:v1"), `${Math.random()}`);
      await images.tag(a, "app:v1", "app:v2");
      await images.remove(a, "app:v2", plainly);
    }
    await images.remove(a, "app:v1", plainly);
    await watched;
    expect(seen).toEqual(expect.arrayContaining(["tag app:v2", `delete ${id}`]));
    expect(JSON.stringify(seen)).not.toMatch(/guard\.internal|scene-b/);
  });

  test("removes an image beyond the tenant's quota, and refuses a tag beyond it", async () => {
    const limited = callerOf(tenantOf("scene-a", { images: 1 }));
    await scene.make(limited, engineNameOf(limited, "one:v1"), "1");
    const two = scene.make(limited, engineNameOf(limited, "two:v1"), "2");
    await expect(two).rejects.toMatchObject({ rule: "quota.images" });
    await expect(scene.images.tag(limited, "one:v1", "three:v1")).rejects.toMatchObject({ rule: "quota.images" });
    expect(tagsOf(await scene.images.list(limited, anyList))).toEqual(["one:v1"]);
    expect(await removeTenantImages(scene, "scene-a", signal)).toEqual([]);
  });
});
