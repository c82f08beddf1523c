import { readdir, readFile } from "node:fs/promises";
import { BlockList, isIP } from "node:net";
import { lookup } from "node:dns/promises";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import type { EngineApi } from "../engine/engine-api.ts";

/** The folder of an engine's certificates of registries: `HOST[:PORT]/*.crt`, and client certificates `NAME.cert` with `NAME.key` */
export const ENGINE_CERTIFICATES = "/etc/docker/certs.d";

/** The security settings of a connection to a registry. */
export interface RegistrySecurity {
  /** Whether to skip the check of the certificate, and to fall back to HTTP: the engine's `insecure-registries` */
  isInsecure: boolean;
  /** CA certificates in PEM. If undefined, those of Node */
  ca: string[] | undefined;
  /** Client certificates in PEM */
  cert: string[];
  key: string[];
}

interface RegistryConfig {
  InsecureRegistryCIDRs?: readonly string[] | null;
  IndexConfigs?: Readonly<Record<string, { Secure?: boolean } | null>> | null;
}

/**
 * Returns the settings with which the engine would connect to a registry. Addresses of 127.0.0.0/8 are insecure even if the engine does not list them.
 *
 * @param host with the port, if any
 */
export async function registrySecurity(
  engine: Pick<EngineApi, "json">,
  host: string,
  { certificates, signal }: { certificates: string; signal: AbortSignal },
): Promise<RegistrySecurity> {
  const info = (await engine.json({ method: "GET", path: "/info", signal })) as {
    RegistryConfig?: RegistryConfig | null;
  };
  const isInsecure = await engineTrusts(info.RegistryConfig ?? {}, host);
  return { isInsecure, ...(await readCertificates(join(certificates, host))) };
}

/** Decides like docker: by the entry of the host, or else by whether one of its addresses is in a listed network. */
async function engineTrusts({ InsecureRegistryCIDRs, IndexConfigs }: RegistryConfig, host: string): Promise<boolean> {
  const listed = IndexConfigs?.[host]?.Secure;
  if (listed !== undefined) return !listed;
  const networks = new BlockList();
  for (const network of InsecureRegistryCIDRs ?? []) {
    const [address = "", bits = ""] = network.split("/");
    const family = isIP(address);
    if (family !== 0) networks.addSubnet(address, Number(bits), family === 4 ? "ipv4" : "ipv6");
  }
  const { hostname } = new URL(`http://${host}`);
  const found = await lookup(hostname.replace(/^\[(.*)\]$/, "$1"), { all: true }).catch(() => []);
  return found.some(({ address, family }) => networks.check(address, family === 4 ? "ipv4" : "ipv6"));
}

async function readCertificates(folder: string): Promise<Pick<RegistrySecurity, "ca" | "cert" | "key">> {
  const names = await readdir(folder).catch(() => []);
  const read = async (suffix: string): Promise<string[]> =>
    await Promise.all(
      names
        .filter((name) => name.endsWith(suffix))
        .toSorted()
        .map(async (name) => await readFile(join(folder, name), "utf8")),
    );
  const own = await read(".crt");
  return {
    ca: own.length === 0 ? undefined : [...rootCertificates, ...own],
    cert: await read(".cert"),
    key: await read(".key"),
  };
}
