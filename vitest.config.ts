import { defineConfig } from "vitest/config";
import { Docker29Last } from "./test/engines/docker-29-last.ts";
import { leaveMachine, unitPath } from "./test/testbed/environment.ts";

// Before anything is started: tests and all that they run see what they put there themselves, and not what this machine has.
leaveMachine();

// `unit` needs Node alone. `engines` runs real Docker engines, which its files share: one file at a time. `matrix` runs all kinds.
export default defineConfig({
  test: {
    sequence: { sequencer: Docker29Last },
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.ts", "server/test/unit/**/*.test.ts"],
          setupFiles: ["test/fail-on-warning.ts"],
          env: { PATH: unitPath() },
          testTimeout: 60_000, // engine tests may leave them little of the processor
        },
      },
      {
        extends: true,
        test: {
          name: "engines",
          include: ["test/engines/**/*.test.ts", "server/test/engines/**/*.test.ts"],
          setupFiles: ["test/fail-on-warning.ts"],
          globalSetup: ["test/engines/global-setup.ts"],
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 180_000,
          expect: { poll: { timeout: 20_000 } }, // an engine that shares its processors is late
        },
      },
      {
        extends: true,
        test: {
          name: "matrix",
          include: ["test/matrix/**/*.test.ts"],
          setupFiles: ["test/fail-on-warning.ts"],
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
});
