import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openFileStore } from "../../../src/store/files/file-store.ts";
import { storeContract } from "../../fixtures/store-contract.ts";
import { DEFAULT_LIMITS } from "../../fixtures/store-contract/bed.ts";

const retention = { age: 3600_000, bytes: 1e9 };

storeContract("the store in files", async () => {
  const parent = mkdtempSync(join(tmpdir(), "store-"));
  return {
    open: async (limits) =>
      await openFileStore({ ...DEFAULT_LIMITS, ...limits, retention, folder: join(parent, "data") }),
    async [Symbol.asyncDispose]() {
      rmSync(parent, { recursive: true });
    },
  };
});
