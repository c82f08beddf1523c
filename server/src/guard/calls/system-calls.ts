import type { BackendVersion } from "../backend.ts";
import { Refusal } from "../refusal.ts";
import type { Method } from "../request/strict-request.ts";
import { NO_BODY, type Call } from "./call.ts";
import { readFilters } from "./read-filters.ts";

const ping = (method: Method): Call => ({
  rule: "system.ping",
  method,
  path: "/_ping",
  does: "Answers OK and the newest version of the API.",
  query: {},
  body: NO_BODY,
  read: () => ({
    perform({ backend, reply }) {
      reply.text(200, "OK", {
        "Builder-Version": backend.buildkit === undefined ? "1" : "2",
        "Cache-Control": "no-cache, no-store, must-revalidate",
        Pragma: "no-cache",
        Swarm: "inactive",
      });
      return Promise.resolve();
    },
  }),
});

const VERSION: Call = {
  rule: "system.version",
  method: "GET",
  path: "/version",
  does: "Returns the engine's version and platform, and no other information about the host.",
  query: {},
  body: NO_BODY,
  read: () => ({
    async perform({ caller, backend, reply }) {
      reply.json(200, versionOf(await backend.version(caller.signal)));
    },
  }),
};

const INFO: Call = {
  rule: "system.info",
  method: "GET",
  path: "/info",
  does: "Returns the engine's version, platform and kind of image store; all other properties are empty.",
  query: {},
  body: NO_BODY,
  read: () => ({
    async perform({ caller, backend, reply }) {
      reply.json(200, infoOf(await backend.version(caller.signal)));
    },
  }),
};

const EVENTS: Call = {
  rule: "events",
  method: "GET",
  path: "/events",
  does: "Streams the events of the tenant's own images.",
  query: { since: "once", until: "once", filters: "once" },
  body: NO_BODY,
  read({ query }) {
    const filter = {
      since: time(query.text("since"), "since"),
      until: time(query.text("until"), "until"),
      filters: givenOnly(readFilters(query, ["event", "image", "label", "type", "scope"])),
    };
    return {
      async perform({ caller, backend, reply }) {
        reply.beginLines();
        for await (const event of backend.images.events(caller, filter)) reply.line(event);
      },
    };
  },
};

/** A filter without values matches everything, like a missing filter. */
function givenOnly(filters: Readonly<Record<string, readonly string[]>>): Record<string, readonly string[]> {
  return Object.fromEntries(Object.entries(filters).filter(([, values]) => values.length > 0));
}

export const SYSTEM_CALLS: readonly Call[] = [ping("GET"), ping("HEAD"), VERSION, INFO, EVENTS];

function versionOf({ version, apiVersion, minApiVersion, os, arch }: BackendVersion): object {
  const details = { ApiVersion: apiVersion, MinAPIVersion: minApiVersion, Os: os, Arch: arch };
  return {
    Platform: { Name: "docker-over-ssh guard" },
    Components: [{ Name: "Engine", Version: version, Details: { ...details, Experimental: "false" } }],
    Version: version,
    ...details,
  };
}

/** Maps Go's architectures to the kernel's names */
const MACHINES: Readonly<Record<string, string>> = { amd64: "x86_64", arm64: "aarch64" };

/**
 * The properties that `docker info` 20.10 and later needs to print no warning. Clients recognize a containerd store by
 * `DriverStatus`.
 */
function infoOf({ version, os, arch, hasContainerdStore }: BackendVersion): object {
  return {
    ID: "",
    Name: "guard",
    ServerVersion: version,
    OSType: os,
    OperatingSystem: "docker-over-ssh guard",
    Architecture: MACHINES[arch] ?? arch,
    Driver: "overlay2",
    ...(hasContainerdStore && {
      Driver: "overlayfs",
      DriverStatus: [["driver-type", "io.containerd.snapshotter.v1"]],
    }),
    Plugins: { Volume: [], Network: [], Authorization: null, Log: [] },
    IndexServerAddress: "https://index.docker.io/v1/",
    RegistryConfig: { IndexConfigs: {}, InsecureRegistryCIDRs: [], Mirrors: [] },
    Swarm: { NodeID: "", NodeAddr: "", LocalNodeState: "inactive", ControlAvailable: false, Error: "" },
    Containers: 0,
    ContainersRunning: 0,
    ContainersPaused: 0,
    ContainersStopped: 0,
    Images: 0,
    Labels: [],
    SecurityOptions: [],
    ExperimentalBuild: false,
    Warnings: [],
    // docker commands before 23 print a warning for each of these that is false if `Warnings` is empty.
    MemoryLimit: true,
    SwapLimit: true,
    OomKillDisable: true,
    CpuCfsQuota: true,
    CpuCfsPeriod: true,
    CPUShares: true,
    CPUSet: true,
    IPv4Forwarding: true,
    BridgeNfIptables: true,
    BridgeNfIp6tables: true,
  };
}

/** Checks seconds since 1970, a date, or a duration such as `10m`, which docker converts to seconds */
function time(given: string | undefined, key: string): string | undefined {
  if (given === undefined || given === "") return undefined;
  if (!/^[0-9A-Za-z.:+-]{1,64}$/.test(given)) {
    throw new Refusal("query.value", `${key} must be a time`, { statusCode: 400 });
  }
  return given;
}
