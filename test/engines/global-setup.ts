import type { TestProject } from "vitest/node";
import { checkTestbed } from "../testbed/check.ts";
import { registryImage } from "../testbed/registry-image.ts";
import { startTestbed } from "../testbed/start.ts";
import type { TestbedDescription } from "../testbed/testbed.ts";

declare module "vitest" {
  export interface ProvidedContext {
    /** The test bed that all files share, or the reason, in one line, why it cannot run. */
    testbed: TestbedDescription | { why: string };
  }
}

/** Starts two engines, once for all files. Only the near engine has `registry:2`. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const check = await checkTestbed();
  if (!check.usable) {
    console.warn(`The engine tests cannot run here: ${check.why}`);
    project.provide("testbed", { why: check.why });
    return async () => {};
  }
  const bed = await startTestbed();
  await registryImage(bed.near);
  project.provide("testbed", bed.description);
  return async () => await bed[Symbol.asyncDispose]();
}
