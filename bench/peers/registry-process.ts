import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startInside, type Machine } from "../../test/testbed/machine.ts";
import { systemPath } from "../../test/testbed/programs.ts";
import { until } from "../../test/testbed/wait.ts";

export interface RegistryProcess {
  /** A port on 127.0.0.1, where engines need no TLS. */
  port: number;
  /** The folder of the pushed content. It can be replaced while the registry runs, because the registry caches nothing. */
  data: string;
}

/** Starts Debian's docker-registry on the machine of the engine, as a separate process that ends with the machine. */
export async function startRegistry(machine: Machine, folder: string): Promise<RegistryProcess> {
  const data = join(folder, "data");
  mkdirSync(data, { recursive: true });
  const settings = join(folder, "settings.yml");
  writeFileSync(
    settings,
    `version: 0.1
log: { level: info }
storage: { filesystem: { rootdirectory: ${data} } }
http: { addr: "127.0.0.1:0" }
`,
  );
  const log = join(folder, "log");
  const args = ["serve", settings];
  const { ended } = startInside(machine, { command: "docker-registry", args, path: systemPath(), log });
  const port = await until("the registry listens", () => {
    if (ended()) throw new Error(`${ended()}: ${readFileSync(log, "utf8")}`);
    return /listening on 127\.0\.0\.1:(\d+)/.exec(readFileSync(log, "utf8"))?.[1];
  });
  return { port: Number(port), data };
}
