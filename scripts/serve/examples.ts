/** An example for each call of the API, in the order of the reference. `npm run docs` fails for a call without an example. */
export const EXAMPLES: ReadonlyMap<string, string> = new Map([
  [
    "POST /api/v2/builds",
    [
      `curl -H @auth -H 'Content-Type: application/json' -d '{"name": "registry.example.com/team/app:v2", "dockerfile": "FROM alpine"}' \\`,
      "  $server/api/v2/builds",
      "tar -c . | curl -H @auth -H 'Content-Type: application/x-tar' --data-binary @- \\",
      '  "$server/api/v2/builds?name=registry.example.com/team/app:v2&target=prod"',
      "curl -H @auth -H 'Idempotency-Key: commit-4f2a' -F 'build=<build.json;type=application/json' -F 'archive=@context.tar.gz' \\",
      "  $server/api/v2/builds",
    ].join("\n"),
  ],
  ["GET /api/v2/builds", `curl -H @auth "$server/api/v2/builds?status=queued,running&name=team/"`],
  ["GET /api/v2/builds/{id}", "curl -H @auth $server/api/v2/builds/$id"],
  [
    "GET /api/v2/builds/{id}/logs",
    [
      `curl -H @auth -N "$server/api/v2/builds/$id/logs?follow=true"`,
      "curl -H @auth -N -H 'Accept: text/event-stream' -H 'Last-Event-ID: 42' $server/api/v2/builds/$id/logs",
    ].join("\n"),
  ],
  ["POST /api/v2/builds/{id}/cancel", "curl -H @auth -X POST $server/api/v2/builds/$id/cancel"],
  ["POST /api/v2/builds/{id}/retry", "curl -H @auth -X POST $server/api/v2/builds/$id/retry"],
  ["GET /api/v2/builds/{id}/deliveries", "curl -H @auth $server/api/v2/builds/$id/deliveries"],
  ["GET /api/v2/events", "curl -H @auth -N $server/api/v2/events"],
  ["GET /api/v2/workers", "curl -H @auth $server/api/v2/workers"],
  ["GET /healthz", "curl $server/healthz"],
  ["GET /readyz", "curl $server/readyz"],
  ["GET /metrics", "curl -H @auth $server/metrics"],
  [
    "POST /api/v1/build",
    [
      `curl -d '{"image_name": "team/app", "dockerfile": "FROM alpine", "username": "ann", "password": "…"}' $server/api/v1/build`,
      `curl -F 'Json={"image_name": "team/app"}' -F 'TarFile=@context.tar.gz' $server/api/v1/build`,
    ].join("\n"),
  ],
  ["GET /api/v1/{id}/status", "curl $server/api/v1/$id/status"],
  ["GET /api/v1/{id}/logs", "curl $server/api/v1/$id/logs"],
]);
