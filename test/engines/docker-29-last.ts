import { readFileSync } from "node:fs";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Runs the files that need Docker 29 last, because `npm test` builds it at the same time, which takes minutes. */
export class Docker29Last extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files); // oxlint-disable-line unicorn/no-array-sort -- this is not the method of an array
    return [...sorted.filter((file) => !needsDocker29(file)), ...sorted.filter(needsDocker29)];
  }
}

function needsDocker29({ moduleId, project }: TestSpecification): boolean {
  return project.name === "matrix" || readFileSync(moduleId, "utf8").includes("29-containerd");
}
