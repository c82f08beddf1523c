import { describe, expect, test } from "vitest";
import type { BackendVersion } from "../../../../src/guard/backend.ts";
import { frontBed } from "../../../fixtures/guard/front-bed.ts";
import { standInBackend } from "../../../fixtures/guard/stand-in-backend.ts";

/** Returns the answer that a tenant gets at a path from the guard of such an engine. */
async function answerAt(path: string, changes: Partial<BackendVersion> = {}): Promise<unknown> {
  const engine = standInBackend();
  const backend = standInBackend({ version: async (signal) => ({ ...(await engine.version(signal)), ...changes }) });
  await using bed = await frontBed({ backend });
  const answer = await bed.send(`GET ${path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n`);
  expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  return JSON.parse(answer.slice(answer.indexOf("\r\n\r\n")));
}

// Each property in these objects reveals details of the host to tenants, so the tests compare complete objects.
describe("a tenant learns about the host", () => {
  test.each(["/version", "/v1.41/version"])("only the engine's version and platform by %s", async (path) => {
    const details = { ApiVersion: "1.51", MinAPIVersion: "1.24", Os: "linux", Arch: "amd64" };
    expect(await answerAt(path)).toEqual({
      Platform: { Name: "docker-over-ssh guard" },
      Components: [{ Name: "Engine", Version: "28.5.2", Details: { ...details, Experimental: "false" } }],
      Version: "28.5.2",
      ...details,
    });
  });

  const INFO = {
    ID: "",
    Name: "guard",
    ServerVersion: "28.5.2",
    OSType: "linux",
    OperatingSystem: "docker-over-ssh guard",
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

  test("the same by /info, with images in a graph driver's store", async () => {
    expect(await answerAt("/info")).toEqual({ ...INFO, Architecture: "x86_64", Driver: "overlay2" });
  });

  test("the kind of the store by /info, if it is containerd's", async () => {
    expect(await answerAt("/v1.51/info", { hasContainerdStore: true, arch: "arm64" })).toEqual({
      ...INFO,
      Architecture: "aarch64",
      Driver: "overlayfs",
      DriverStatus: [["driver-type", "io.containerd.snapshotter.v1"]],
    });
  });
});
