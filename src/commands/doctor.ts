import { namedEndpoint } from "../engine/connect/endpoint.ts";
import type { CommandDefinition } from "./options/command-definition.ts";
import { HOST_OPTIONS, type HostOptions } from "./options/host-options.ts";
import { readHost } from "./options/read-host.ts";

export interface DoctorOptions extends HostOptions {
  host?: string | undefined;
}

export const doctorCommand: CommandDefinition<DoctorOptions> = {
  name: "doctor",
  summary: "check both sides, and report missing parts",
  description:
    "Checks this side, and HOST if it is named: the engine, Node, codecs, the cache folder and free disk, the login, and which program a transfer would use there. Reports missing parts and how to fix them. Changes nothing.",
  arguments: [
    {
      term: "[HOST]",
      description:
        "ssh://[USER@]HOST[:PORT], or HOST alone; or docker://CONTAINER, or kubectl://NAMESPACE/POD[/CONTAINER]",
    },
  ],
  options: [
    ...HOST_OPTIONS,
    {
      flags: "-H, --host <address>",
      description: "address of the engine, as for the docker command: unix://, tcp://, npipe:// or ssh://",
    },
  ],
  toJob([given], { host: engine, ...options }, env) {
    const host = given === undefined ? undefined : readHost(given, options, env, "doctor");
    const endpoint = namedEndpoint(engine, env);
    return { run: async (context) => await (await import("../doctor/doctor.ts")).doctor({ endpoint, host }, context) };
  },
};
