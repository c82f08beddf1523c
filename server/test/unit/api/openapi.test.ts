import { expect, test } from "vitest";
import { readServeFiles } from "../../../../scripts/serve-reference.ts";
import { testAccess, testApp } from "../../fixtures/test-app.ts";

test("docs/serve-api.md and its OpenAPI document match the server's routes; `npm run docs` updates them", async () => {
  const files = await readServeFiles();
  expect(files).toHaveLength(2);
  for (const { is, shouldBe } of files) {
    expect(shouldBe).toContain("Last-Event-ID");
    expect(is).toBe(shouldBe);
  }
});

test("serves the document to everybody, as OpenAPI 3.1 whose references all resolve", async () => {
  await using server = testApp({ access: testAccess([]) });
  const answer = await server.app.inject("/api/v2/openapi.json");
  expect(answer.headers["content-type"]).toContain("application/json");
  const document = answer.json<{ openapi: string; components: { schemas: object }; paths: object }>();
  expect(document.openapi).toBe("3.1.0");
  const named = [...answer.body.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map(([, name]) => name);
  expect([...new Set(named)].toSorted()).toEqual(
    Object.keys(document.components.schemas)
      .toSorted()
      .filter((name) => named.includes(name)),
  );
  expect(Object.keys(document.components.schemas)).toEqual(expect.arrayContaining(["Build", "NewBuild", "Problem"]));
  expect(document.paths).not.toHaveProperty("/api/v2/openapi.json");
  expect(document.paths).toMatchObject({
    "/healthz": { get: { security: [] } },
    "/api/v2/builds": { post: { security: [{ token: [] }] } },
  });
});
