import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildImage } from "./build-image.ts";
import { checkTestbed } from "./check.ts";
import { docker29Folder } from "./docker-29.ts";
import type { EngineKind } from "./engine-packages.ts";
import { registryImage } from "./registry-image.ts";
import { findRuns } from "./run.ts";
import { startTestbed } from "./start.ts";
import { removeLeftovers } from "./teardown.ts";

/** Starts a test bed to try things out. See README.md. */

const [command, near = "host", far = "host"] = process.argv.slice(2);
if (command === "up") await up(near as EngineKind, far as EngineKind);
else if (command === "down") await down();
else if (command === "build-29") await build29();
else {
  console.error("usage: npx tsx test/testbed/cli.ts up [NEAR-KIND [FAR-KIND]] | down | build-29");
  process.exitCode = 2;
}

/** Marks a run that `down` may end, unlike one of the tests. */
function markOf(folder: string): string {
  return join(folder, "up");
}

async function up(near: EngineKind, far: EngineKind): Promise<void> {
  // There is no handler during the start, which takes seconds, because the reaper of the run ends everything.
  await using bed = await startTestbed({ near: { kind: near }, far: { kind: far } });
  writeFileSync(markOf(bed.folder), "");
  const layers = [{ name: "libraries", bytes: 20e6, files: 50 }];
  await registryImage(bed.near);
  for (const reference of ["app:v1", "app:v2"]) await buildImage(bed.near, reference, layers);
  for (const [name, value] of Object.entries(bed.env)) console.log(`export ${name}='${value}'`);
  console.error(`
# near ${bed.near.version}, with app:v1 and app:v2; far ${bed.far.version}, empty. Logs: ${bed.folder}/*/*.log
# With the lines above in another terminal:
#   docker-over-ssh push app:v1 ssh far "docker-over-ssh pull app:v1"
#   ssh far docker run --rm app:v1
# Ctrl-C here ends it and removes all.`);
  const alive = setInterval(() => {}, 60_000);
  await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM"), once(process, "SIGHUP")]);
  clearInterval(alive);
}

/** Builds Docker 29 in advance, if the test bed can run. If it cannot be built, the tests that need it report the reason. */
async function build29(): Promise<void> {
  if ((await checkTestbed()).usable) await docker29Folder().catch(() => {});
}

/** Ends every `up`, and removes what killed runs left behind. */
async function down(): Promise<void> {
  for (const { owner, alive, folder } of findRuns()) {
    if (alive && existsSync(markOf(folder))) process.kill(owner.pid, "SIGTERM");
  }
  await removeLeftovers();
}
