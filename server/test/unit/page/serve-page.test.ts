import { expect, test } from "vitest";
import { servePage } from "../../../src/page/serve-page.ts";
import { testAccess, testApp } from "../../fixtures/test-app.ts";

/** The server requires tokens; the page is for everybody, because it requests the token. */
const options = { plugins: [servePage], access: testAccess([]) };

test("lets the browser use only this server, and no other site frame the page", async () => {
  await using bed = testApp(options);
  const { statusCode, headers } = await bed.app.inject("/");
  expect(statusCode).toBe(200);
  expect(headers["content-type"]).toBe("text/html; charset=utf-8");
  const policy = String(headers["content-security-policy"]).split("; ");
  expect(policy).toEqual(
    expect.arrayContaining([
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "connect-src 'self'",
      "frame-ancestors 'none'",
      "base-uri 'none'",
      "form-action 'none'",
      "require-trusted-types-for 'script'",
    ]),
  );
  expect(policy.join()).not.toContain("unsafe");
  expect(headers).toMatchObject({
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
  });
});

test("has no script and no style in the page's text, and loads files by relative addresses", async () => {
  await using bed = testApp(options);
  const { body } = await bed.app.inject("/");
  expect(body).not.toMatch(/<script(?![^>]* src=)|<style|\sstyle=|\son\w+=|javascript:/i);
  const addresses = [...body.matchAll(/(?:src|href)="([^"#]+)"/g)].map(([, address = ""]) => address);
  expect(addresses.toSorted()).toEqual([
    expect.stringMatching(/^page\/icon-[0-9a-f]{16}\.svg$/),
    expect.stringMatching(/^page\/main-[0-9a-f]{16}\.js$/),
    expect.stringMatching(/^page\/style-[0-9a-f]{16}\.css$/),
  ]);
  for (const address of addresses) {
    const { statusCode, headers } = await bed.app.inject(`/${address}`);
    expect([statusCode, headers["cache-control"]]).toEqual([200, "public, max-age=31536000, immutable"]);
  }
});

test("returns 304 to a browser that has the page", async () => {
  await using bed = testApp(options);
  const { headers } = await bed.app.inject("/");
  expect(headers["cache-control"]).toBe("no-cache");
  const etag = String(headers["etag"]);
  for (const known of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
    const again = await bed.app.inject({ url: "/", headers: { "if-none-match": known } });
    expect([again.statusCode, again.body, again.headers["etag"]]).toEqual([304, "", etag]);
  }
  const changed = await bed.app.inject({ url: "/", headers: { "if-none-match": '"other"' } });
  expect(changed.statusCode).toBe(200);
});

test.each(["/page/", "/page/..%2f..%2findex.js", "/page/index.html", "/index.html"])(
  "serves nothing at %s",
  async (url) => {
    await using bed = testApp(options);
    expect((await bed.app.inject(url)).statusCode).toBe(404);
  },
);
