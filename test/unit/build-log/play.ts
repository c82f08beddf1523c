/** Shows the scripted build on this terminal: `npx tsx test/unit/build-log/play.ts [auto|plain|tty|quiet] [fail] [STOP_AFTER_MS]`. */
import { setTimeout } from "node:timers/promises";
import { buildLog, type ProgressMode } from "../../../src/build-log/build-log.ts";
import { findSource } from "../../../src/build-log/find-source.ts";
import { scriptedBuild } from "./scripted-build.ts";

const [mode = "auto", end = "", stopAfter = "Infinity"] = process.argv.slice(2);
const log = buildLog({ progress: mode as ProgressMode, screen: process.stderr, env: process.env });
const DOCKERFILE = `FROM node:22 AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund \\
 && npm cache clean --force
COPY . .
RUN npm run build
FROM nginx
COPY --from=build /app/dist /usr/share/nginx/html
CMD nginx
`;
const begin = Date.now();
for (const [at, event] of scriptedBuild(end !== "fail")) {
  if (at > Number(stopAfter)) await new Promise(() => setInterval(() => {}, 1000));
  await setTimeout(Math.max(0, begin + at - Date.now()));
  log.event(event);
}
if (end === "fail") {
  const source = findSource({ path: "Dockerfile", text: DOCKERFILE }, "exit code: 2", "[build 4/4] RUN npm run build");
  if (source !== undefined) log.event({ type: "build-source", ...source });
}
log.finish(end === "fail" ? "failed" : "built");
