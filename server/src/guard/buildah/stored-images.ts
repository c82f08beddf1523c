import { abortable, messageOf, tryReference } from "docker-over-ssh/builds";
import { imagesInLedger } from "../ledger/ledger-images.ts";
import { shared } from "../images/shared-listing.ts";
import { TENANT_LABEL } from "../images/reserved.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { noSuchImage, Refusal } from "../refusal.ts";
import { runBuildah, type Setup } from "./run-buildah.ts";
import type { OpenHome } from "./homes.ts";

/** An image in a tenant's storage. */
export interface StoredImage {
  /** `sha256:…` */
  id: string;
  /** Full names with tags, e.g. `docker.io/library/app:v1` */
  names: readonly string[];
  /** ISO 8601 */
  created: string;
  /** In the format of Docker's image config */
  config: DockerConfig;
  /** Bytes of its layers, unpacked, from the lowest up */
  layers: readonly number[];
  /** Bytes of all layers */
  size: number;
  /** Whether a build of the tenant created it: the result, or a stage, which is the cache of the next build */
  isStamped: boolean;
  /** Whether it counts as the tenant's, because it is the result of a build or has a name */
  isOwn: boolean;
}

/** The properties of an image that never change */
type Constant = Omit<StoredImage, "names" | "created" | "isOwn">;

/** The parts of an image config that are read. */
export interface DockerConfig {
  author?: string;
  architecture?: string;
  os?: string;
  variant?: string;
  config?: Record<string, unknown> & { Labels?: Record<string, string> | null };
  rootfs?: { diff_ids?: string[] };
  history?: { created?: string; created_by?: string; comment?: string; author?: string; empty_layer?: boolean }[];
}

interface Listed {
  id: string;
  names?: string[] | null;
  createdatraw?: string;
}

/** Maximum ms of a listing */
const LIST_TIMEOUT = 120_000;

/** The images in the storages of all tenants, listed by buildah. */
export class StoredImages {
  readonly #setup: Setup;
  readonly #env: NodeJS.ProcessEnv;
  readonly #ledger: Ledger;
  /** By tenant and ID */
  readonly #known = new Map<string, Map<string, Constant>>();
  /** By tenant */
  readonly #lists = new Map<string, () => Promise<StoredImage[]>>();

  constructor(setup: Setup, env: NodeJS.ProcessEnv, ledger: Ledger) {
    this.#setup = setup;
    this.#env = env;
    this.#ledger = ledger;
  }

  /**
   * Lists all images that have a name or had one, without those of single steps. Each listing runs a program in no cgroup of the tenant, so simultaneous calls
   * share one listing.
   */
  async all(home: OpenHome, signal: AbortSignal): Promise<StoredImage[]> {
    const { tenant } = home;
    const list =
      this.#lists.get(tenant) ?? shared(async () => await this.#list(home, AbortSignal.timeout(LIST_TIMEOUT)));
    this.#lists.set(tenant, list);
    return await abortable(list(), signal);
  }

  async #list(home: OpenHome, signal: AbortSignal): Promise<StoredImage[]> {
    const text = await this.#run(home, ["images", "--json", "--no-trunc"], signal);
    const listed = (text.trim() === "" ? [] : JSON.parse(text)) as Listed[] | null;
    const found = new Map<string, StoredImage>();
    const known = this.#known.get(home.tenant) ?? new Map<string, Constant>();
    const written = imagesInLedger(this.#ledger, home.tenant);
    this.#known.set(home.tenant, known);
    for (const { id: given, names, createdatraw } of listed ?? []) {
      const id = given.startsWith("sha256:") ? given : `sha256:${given}`;
      const before = found.get(id);
      const all = [...new Set([...(before?.names ?? []), ...(names ?? [])])].filter((name) => !name.includes("<none>"));
      const constant = known.get(id) ?? (await this.#inspect(home, id, signal));
      if (constant === undefined) continue;
      known.set(id, constant);
      const isOwn = constant.isStamped && (all.length > 0 || written.has(id));
      found.set(id, { ...constant, isOwn, names: all, created: createdatraw ?? new Date(0).toISOString() });
    }
    for (const id of known.keys()) if (!found.has(id)) known.delete(id);
    return [...found.values()];
  }

  /** Lists the tenant's own images. */
  async own(home: OpenHome, signal: AbortSignal): Promise<StoredImage[]> {
    return (await this.all(home, signal)).filter(({ isOwn }) => isOwn);
  }

  /**
   * Finds an image of the tenant by a name, an ID, or the beginning of an ID.
   *
   * @throws Refusal 404, 400
   */
  async find(home: OpenHome, given: string, signal: AbortSignal): Promise<StoredImage> {
    const found = findImage(await this.own(home, signal), given);
    if (found === undefined) throw noSuchImage(given);
    return found;
  }

  forget(tenant: string): void {
    this.#known.delete(tenant);
    this.#lists.delete(tenant);
  }

  /** Returns undefined for an image that was removed in the meantime. */
  async #inspect(home: OpenHome, id: string, signal: AbortSignal): Promise<Constant | undefined> {
    try {
      const text = await this.#run(home, ["inspect", "--type", "image", id.slice("sha256:".length)], signal);
      const { Docker: config = {}, Manifest = "{}" } = JSON.parse(text) as { Docker?: DockerConfig; Manifest?: string };
      const { layers = [] } = JSON.parse(Manifest) as { layers?: { size: number }[] };
      const sizes = layers.map(({ size }) => size);
      const size = sizes.reduce((sum, bytes) => sum + bytes, 0);
      const isStamped = config.config?.Labels?.[TENANT_LABEL] === home.tenant;
      return { id, config, layers: sizes, size, isStamped };
    } catch (error) {
      signal.throwIfAborted();
      if (/image not known|no such|not found/i.test(messageOf(error))) return undefined;
      throw error;
    }
  }

  async #run(home: OpenHome, argv: readonly string[], signal: AbortSignal): Promise<string> {
    return await runBuildah(home, this.#setup, argv, this.#env, { signal });
  }
}

/** Finds an image by a name, an ID, or the beginning of an ID. Throws a Refusal 400 for an ambiguous beginning. */
export function findImage(images: readonly StoredImage[], given: string): StoredImage | undefined {
  const reference = tryReference(given);
  const byName = reference && images.find(({ names }) => names.some((name) => isSame(name, reference)));
  if (byName !== undefined) return byName;
  const hex = /^(?:sha256:)?([0-9a-f]{1,64})$/.exec(given)?.[1];
  if (hex === undefined) return undefined;
  const byId = images.filter(({ id }) => id.startsWith(`sha256:${hex}`));
  if (byId.length > 1) {
    throw new Refusal("image.ambiguous", `${given} is the beginning of several images' IDs`, { statusCode: 400 });
  }
  return byId[0];
}

function isSame(name: string, { domain, path, tag }: { domain: string; path: string; tag?: string }): boolean {
  const stored = tryReference(name);
  return stored !== undefined && stored.domain === domain && stored.path === path && stored.tag === tag;
}
