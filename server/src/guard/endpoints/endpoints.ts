import type { Duplex } from "node:stream";
import { Failure, messageOf } from "docker-over-ssh/builds";
import type { Tenant, TenantEndpoint } from "../tenant.ts";

/** Handles the connections of one tenant. */
export interface Front {
  /** Owns the connection. */
  take(connection: Duplex): void;
  /** Ends all that is open. */
  close(): Promise<void>;
}

/** A socket that listens. Disposing closes it, and destroys its connections. */
export interface Socket extends AsyncDisposable {
  /** Removes the socket. Open connections stay. */
  close(): Promise<void>;
  /** Aborted when the folder of the socket was removed */
  readonly gone: AbortSignal;
}

export interface EndpointParts {
  /** Opens what answers a tenant. `tenant` returns its current state: limits may change while it is served. */
  openFront(tenant: () => Tenant): Front;
  bind(endpoint: TenantEndpoint, onConnection: (connection: Duplex) => void, tenant: () => Tenant): Promise<Socket>;
  /** Makes what the tenant's builds run in. Returns the tenant with it. */
  prepare(tenant: Tenant, mayReturn: boolean): Promise<Tenant>;
  /** Resolves when nothing runs any more for a tenant whose socket was closed. */
  idle(tenant: string): Promise<void>;
  /** A tenant is no longer served. */
  left(tenant: string): Promise<void>;
  /** Removes all that a tenant has. */
  clear(tenant: string): Promise<void>;
  /** A change of a tenant has failed. Called once for each reason why a tenant cannot be served. */
  onFailure(tenant: string, error: unknown): void;
}

/** ms until the next attempt to serve a tenant: its folder, or the cgroup above its own, may be created later */
const RETRY_AFTER = 30_000;

/** A tenant that could not be served, or not with its new settings. */
interface Waiting {
  reason: string;
  timer: NodeJS.Timeout;
}

interface OpenEndpoint {
  /** As requested */
  asked: TenantEndpoint;
  /** With what was prepared for the tenant */
  prepared: TenantEndpoint;
  front: Front;
  socket: Socket | undefined;
}

/**
 * The endpoints of all tenants. Changes of one tenant are made one after the other. A change that fails is reported, affects this tenant alone, and is
 * tried again. Disposing closes all sockets, and removes nothing that tenants have.
 */
export class Endpoints implements AsyncDisposable {
  readonly #parts: EndpointParts;
  readonly #open = new Map<string, OpenEndpoint>();
  readonly #waiting = new Map<string, Waiting>();
  readonly #changes = new Map<string, Promise<void>>();

  constructor(parts: EndpointParts) {
    this.#parts = parts;
  }

  /** IDs of the tenants that are served, or will be as soon as possible */
  get tenants(): string[] {
    return [...new Set([...this.#open.keys(), ...this.#waiting.keys()])];
  }

  /** The paths of all sockets */
  get sockets(): string[] {
    return [...this.#open.values()].map(({ prepared: { socket } }) => socket);
  }

  /**
   * Serves a tenant. One that is served already gets its new settings, and its new socket if the path has changed.
   *
   * @param mayReturn whether the tenant may come back once it was removed
   */
  open(endpoint: TenantEndpoint, mayReturn: boolean): void {
    const { id } = endpoint.tenant;
    clearTimeout(this.#waiting.get(id)?.timer);
    this.#change(id, async () => {
      try {
        await this.#serve(endpoint, mayReturn);
        this.#waiting.delete(id);
      } catch (error) {
        this.#tryLater(endpoint, mayReturn, error);
      }
    });
  }

  /** Closes a tenant's socket, and ends its requests. `isForGood`: also removes all that the tenant has. */
  close(tenant: string, isForGood: boolean): void {
    clearTimeout(this.#waiting.get(tenant)?.timer);
    this.#change(tenant, async () => {
      this.#forgetWaiting(tenant);
      const endpoint = this.#open.get(tenant);
      this.#open.delete(tenant);
      if (endpoint !== undefined) await this.#shut(endpoint);
      await this.#parts.left(tenant); // also where the tenant was not served: something may have been prepared
      if (isForGood) await this.#parts.clear(tenant);
    });
  }

  /** Resolves when all changes that were requested are made. */
  async settled(): Promise<void> {
    await Promise.all(this.#changes.values());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.settled();
    for (const id of this.#waiting.keys()) this.#forgetWaiting(id);
    await Promise.all([...this.#open.values()].map(async (endpoint) => await this.#shut(endpoint)));
    this.#open.clear();
  }

  async #serve(asked: TenantEndpoint, mayReturn: boolean): Promise<void> {
    const { id } = asked.tenant;
    const before = this.#open.get(id);
    const prepared = { ...asked, tenant: await this.#parts.prepare(asked.tenant, mayReturn) };
    if (before !== undefined && before.prepared.socket === asked.socket) {
      Object.assign(before, { asked, prepared });
      return;
    }
    const other = [...this.#open.values()].find(({ prepared: { socket } }) => socket === asked.socket);
    if (other !== undefined) {
      throw new Failure("usage", `${asked.socket} is the socket of the tenant ${other.prepared.tenant.id}`);
    }
    // Another tenant may get its socket from now on.
    this.#open.delete(id);
    if (before !== undefined) await this.#shut(before);
    this.#open.set(id, await this.#listen({ asked, prepared }, mayReturn));
  }

  #tryLater(endpoint: TenantEndpoint, mayReturn: boolean, error: unknown): void {
    const { id } = endpoint.tenant;
    const reason = messageOf(error);
    const isNew = this.#waiting.get(id)?.reason !== reason;
    this.#forgetWaiting(id);
    this.#waiting.set(id, { reason, timer: setTimeout(() => this.open(endpoint, mayReturn), RETRY_AFTER).unref() });
    if (isNew) this.#parts.onFailure(id, error);
  }

  #forgetWaiting(tenant: string): void {
    clearTimeout(this.#waiting.get(tenant)?.timer);
    this.#waiting.delete(tenant);
  }

  async #listen(
    { asked, prepared }: Pick<OpenEndpoint, "asked" | "prepared">,
    mayReturn: boolean,
  ): Promise<OpenEndpoint> {
    const front = this.#parts.openFront(() => endpoint.prepared.tenant);
    const endpoint: OpenEndpoint = { asked, prepared, front, socket: undefined };
    try {
      const bound = await this.#parts.bind(
        prepared,
        (connection) => front.take(connection),
        () => endpoint.prepared.tenant,
      );
      endpoint.socket = bound;
      bound.gone.addEventListener("abort", () => {
        if (this.#open.get(prepared.tenant.id) !== endpoint) return;
        this.close(prepared.tenant.id, false);
        // A folder of the operator may come back. That of a pod was removed with the pod.
        if (!endpoint.asked.isInTenantsFolder) this.open(endpoint.asked, mayReturn);
      });
    } catch (error) {
      await front.close();
      throw error;
    }
    return endpoint;
  }

  #change(tenant: string, change: () => Promise<void>): void {
    const before = this.#changes.get(tenant) ?? Promise.resolve();
    const made = before.then(change).catch((error: unknown) => this.#parts.onFailure(tenant, error));
    this.#changes.set(tenant, made);
    void made.then(() => {
      if (this.#changes.get(tenant) === made) this.#changes.delete(tenant);
    });
  }

  async #shut({ prepared, socket, front }: OpenEndpoint): Promise<void> {
    await socket?.close(); // another server may listen there from now on
    await front.close(); // clients are told why their calls end
    await socket?.[Symbol.asyncDispose]();
    await this.#parts.idle(prepared.tenant.id);
  }
}
