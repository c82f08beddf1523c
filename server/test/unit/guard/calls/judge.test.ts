import { expect, test } from "vitest";
import { judge } from "../../../../src/guard/calls/judge.ts";

interface ExplainedRequest {
  headers?: readonly string[];
  body?: string | Buffer;
}

function ruleOf(line: string, { headers = [], body = "" }: ExplainedRequest = {}): string {
  const [method = "", target = ""] = line.split(" ");
  return judge({ method, target, rawHeaders: ["Host", "docker", ...headers], body: Buffer.from(body as string) }).rule;
}

const filters = (value: unknown): string => `filters=${encodeURIComponent(JSON.stringify(value))}`;
const base64 = (value: string): string => Buffer.from(value).toString("base64");
const UPGRADE = ["Connection", "Upgrade", "Upgrade", "h2c"];
const session = (...more: string[]): readonly string[] => [...UPGRADE, "X-Docker-Expose-Session-Uuid", "abc", ...more];
const DIGEST = `sha256:${"a".repeat(64)}`;

test.each<[rule: string, line: string, request?: ExplainedRequest]>([
  ["target.length", `GET /images/${"a".repeat(5000)}/json`],
  ["target.length", `GET /images/json?all=${"0".repeat(70_000)}`],
  ["target.form", "GET /images/json?all=1#fragment"],
  ["target.form", "GET /images/\u00e9/json"],
  ["target.form", "GET /images/json?all=\u00e9"],
  ["target.form", "GET /images/a~b/json"],
  ["api.form", "GET /v1.51"],
  ["header.invalid", "POST /build", { headers: ["Content Length", "3"] }],
  ["header.framing", "POST /build", { headers: ["Content-Length", "0", "Transfer-Encoding", "chunked"] }],
  ["header.framing", "POST /build", { headers: ["Content-Length", "+3"] }],
  ["header.framing", "POST /build", { headers: ["Content-Length", "0x3"] }],
  ["header.framing", "POST /build", { headers: ["Transfer-Encoding", "gzip, chunked"] }],
  ["header.duplicate", "POST /build", { headers: ["Content-Length", "3", "content-length", "3"] }],
  ["query.encoding", "GET /images/json?all=%00"],
  ["query.value", "POST /build?memory=9999999999999999"],
  ["query.value", "GET /events?since=yesterday%20noon"],
  ["query.value", "POST /build/cancel?id="],
  ["build.args", `POST /build?buildargs=${encodeURIComponent('{"A\\u0000":"1"}')}`],
  ["build.args", `POST /build?buildargs=${encodeURIComponent('{"A":"\\u0000"}')}`],
  ["filter.unknown", `GET /images/json?${filters({ container: ["a"] })}`],
  ["filter.count", `GET /images/json?${filters({ label: Array.from({ length: 101 }, String) })}`],
  ["filter.value", `GET /images/json?${filters({ dangling: ["perhaps"] })}`],
  ["filter.value", `GET /images/json?${filters({ dangling: ["true", "false"] })}`],
  ["platform.invalid", `GET /images/app/json?platform=${encodeURIComponent('{"os":"linux"}')}`],
  ["platform.invalid", `GET /images/app/json?platform=${encodeURIComponent('{"architecture":"arm64"}')}`],
  ["json.unknown", `GET /images/app/json?platform=${encodeURIComponent('{"os":"linux","libc":"musl"}')}`],
  ["auth.invalid", "POST /images/app/push?tag=v1", { headers: ["X-Registry-Auth", "%%%"] }],
  ["auth.invalid", "POST /images/app/push?tag=v1", { headers: ["X-Registry-Auth", "a".repeat(70_000)] }],
  ["auth.invalid", "POST /images/app/push?tag=v1", { headers: ["X-Registry-Auth", "aaaaa"] }],
  [
    "auth.invalid",
    "POST /images/app/push?tag=v1",
    { headers: ["X-Registry-Auth", base64(`{"auth":"${base64("ab")}"}`)] },
  ],
  [
    "auth.invalid",
    "POST /images/app/push?tag=v1",
    { headers: ["X-Registry-Auth", base64('{"registrytoken":"a\\r\\nX-Other: b"}')] },
  ],
  ["auth.invalid", "POST /auth", { body: '{"username":"a","serveraddress":"http://a b/"}' }],
  ["json.syntax", "POST /auth", { body: Buffer.from('{"username":"\xff"}', "latin1") }],
  ["body.type", "POST /auth", { headers: ["Content-Type", "text/plain"], body: '{"username":"a"}' }],
  ["body.unexpected", "POST /images/app/tag?repo=b", { body: '{"repo":"c"}' }],
  ["upgrade.body", "POST /session", { headers: session("Transfer-Encoding", "chunked") }],
  ["session.invalid", "POST /session", { headers: UPGRADE }],
  ["session.invalid", "POST /session", { headers: session("X-Docker-Expose-Session-Name", "a".repeat(2000)) }],
  ["session.invalid", "POST /session", { headers: session("X-Docker-Expose-Session-Sharedkey", "a".repeat(2000)) }],
  ["session.invalid", "POST /session", { headers: session("X-Docker-Expose-Session-Grpc-Method", "FileSync") }],
  [
    "session.invalid",
    "POST /session",
    { headers: session(...Array.from({ length: 65 }, () => ["X-Docker-Expose-Session-Grpc-Method", "/a.B/C"]).flat()) },
  ],
  ["buildkit.session", "POST /session", { headers: session("X-Docker-Expose-Session-Grpc-Method", "/a.B/C") }],
  ["name.invalid", `POST /images/app/tag?repo=b%40${DIGEST}`],
  ["name.invalid", `POST /images/app/tag?repo=b&tag=v1%40${DIGEST}`],
  ["name.invalid", "POST /images/app/tag?repo=registry&tag=5000/b%3Av1"],
  ["name.invalid", `POST /images/app%40${DIGEST}/push`],
  ["name.invalid", `POST /images/app/push?tag=v1%40${DIGEST}`],
  ["name.invalid", "POST /images/registry/push?tag=5000/b%3Av1"],
  ["query.value", "GET /images/get"],
  // docker-py's escapes in names, and no others
  ["image.inspect", `GET /v1.51/images/app%40${DIGEST}/json`],
  ["image.inspect", `GET /images/registry.example.com%3a5000/app%3Av1/json`],
  ["target.encoded", `GET /images/app%2540${DIGEST}/json`],
  ["target.encoded", `GET /images/app%%4040${DIGEST}/json`],
  ["target.encoded", "GET /images/a%2fb/json"],
  ["target.encoded", "GET /images/%2e%2e/json"],
  ["target.encoded", "GET /containers/a%40b/json"],
  ["target.encoded", "GET /images%3a/json"],
  // Requests of docker-py and docker inspect
  ["image.list", "GET /v1.51/images/json?only_ids=0&all=0"],
])("%s: %s", (rule, line, request) => expect(ruleOf(line, request)).toBe(rule));

test("reads a name with an escape like the name without it", () => {
  const judged = judge({ method: "GET", target: `/images/app%40${DIGEST}/json`, rawHeaders: ["Host", "a"] });
  expect(judged.about).toEqual([`app@${DIGEST}`]);
});

test.each(["containers/team/app:v1/json", "networks/a", "volumes/a", "services/a", "plugins/a/json", "configs/a"])(
  "makes docker inspect continue with the next kind of object after GET /%s",
  (path) =>
    expect(judge({ method: "GET", target: `/v1.51/${path}`, rawHeaders: ["Host", "a"] })).toMatchObject({
      decision: "refused",
      rule: "call.refused",
      statusCode: 404,
    }),
);

test("judges a call without its body", () =>
  expect(judge({ method: "POST", target: "/auth", rawHeaders: ["Host", "a"] })).toMatchObject({
    decision: "allowed",
    rule: "system.login",
  }));
