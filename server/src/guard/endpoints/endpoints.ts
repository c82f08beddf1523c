import type { Duplex } from "node:stream";
import { Failure, messageOf } from "docker-over-ssh/builds";
import type { Tenant, TenantEndpoint } from "../tenant.ts";

/** Handles the connections of one tenant. */
export interface ConnectionHandler {
  /** Owns the connection. */
  take(connection: Duplex): void;
  /** Ends all open calls and connections. */
  close(): Promise<void>;
}

/** A listening socket. Disposing closes it, and destroys its connections. */
export interface TenantSocket extends AsyncDisposable {
  /** Removes the socket. Open connections stay. */
  close(): Promise<void>;
  /** Aborted when the folder of the socket is removed */
  readonly gone: AbortSignal;
}

export interface EndpointActions {
  /**
   * Opens the handler that answers a tenant. `tenant` returns its current state: limits may change while it is served.
   */
  openHandler(tenant: () => Tenant): ConnectionHandler;
  bind(
    endpoint: TenantEndpoint,
    onConnection: (connection: Duplex) => void,
    tenant: () => Tenant,
  ): Promise<TenantSocket>;
  /** Creates the environment of the tenant's builds. Returns the tenant with its settings. */
  prepare(tenant: Tenant, mayReturn: boolean): Promise<Tenant>;
  /** Resolves when no work is in progress for a tenant whose socket was closed. */
  idle(tenant: string): Promise<void>;
  /** Called when a tenant is no longer served. */
  left(tenant: string): Promise<void>;
  /** Removes all data of a tenant. */
  clear(tenant: string): Promise<void>;
  /** Called when a change of a tenant has failed; once for each reason why a tenant cannot be served. */
  onFailure(tenant: string, error: unknown): void;
}

/** ms until the next attempt to serve a tenant: its folder, or the parent of its cgroup, may be created later */
const RETRY_AFTER = 30_000;

/** A tenant that could not be served, or whose new settings could not be applied. */
interface Waiting {
  reason: string;
  timer: NodeJS.Timeout;
}

interface OpenEndpoint {
  /** The requested endpoint */
  requested: TenantEndpoint;
  /** The endpoint with the tenant's prepared settings */
  prepared: TenantEndpoint;
  handler: ConnectionHandler;
  socket: TenantSocket | undefined;
}

/**
 * The endpoints of all tenants. Changes of one tenant are made one after the other. A change that fails is reported,
 * affects only this tenant, and is retried. Disposing closes all sockets, and keeps all data of tenants.
 */
export class Endpoints implements AsyncDisposable {
  readonly #actions: EndpointActions;
  readonly #open = new Map<string, OpenEndpoint>();
  readonly #waiting = new Map<string, Waiting>();
  readonly #changes = new Map<string, Promise<void>>();

  constructor(actions: EndpointActions) {
    this.#actions = actions;
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
   * Serves a tenant. If it is already served, applies its new settings, and moves its socket if the path has changed.
   *
   * @param mayReturn whether the tenant may return after its removal
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

  /** Closes a tenant's socket, and ends its requests. `removesData`: also removes all data of the tenant. */
  close(tenant: string, removesData: boolean): void {
    clearTimeout(this.#waiting.get(tenant)?.timer);
    this.#change(tenant, async () => {
      this.#forgetWaiting(tenant);
      const endpoint = this.#open.get(tenant);
      this.#open.delete(tenant);
      if (endpoint !== undefined) await this.#shut(endpoint);
      await this.#actions.left(tenant); // also if the tenant was not served, because its environment may exist
      if (removesData) await this.#actions.clear(tenant);
    });
  }

  /** Resolves when all requested changes are made. */
  async settled(): Promise<void> {
    await Promise.all(this.#changes.values());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.settled();
    for (const id of this.#waiting.keys()) this.#forgetWaiting(id);
    await Promise.all([...this.#open.values()].map(async (endpoint) => await this.#shut(endpoint)));
    this.#open.clear();
  }

  async #serve(requested: TenantEndpoint, mayReturn: boolean): Promise<void> {
    const { id } = requested.tenant;
    const before = this.#open.get(id);
    const prepared = { ...requested, tenant: await this.#actions.prepare(requested.tenant, mayReturn) };
    if (before !== undefined && before.prepared.socket === requested.socket) {
      Object.assign(before, { requested, prepared });
      return;
    }
    const other = [...this.#open.values()].find(({ prepared: { socket } }) => socket === requested.socket);
    if (other !== undefined) {
      throw new Failure(
        "usage",
        `the tenant ${id} cannot have the socket ${requested.socket}: it belongs to the tenant ${other.prepared.tenant.id}`,
        { expected: "a socket for each tenant" },
      );
    }
    // From this point on, another tenant may get its socket.
    this.#open.delete(id);
    if (before !== undefined) await this.#shut(before);
    this.#open.set(id, await this.#listen({ requested, prepared }, mayReturn));
  }

  #tryLater(endpoint: TenantEndpoint, mayReturn: boolean, error: unknown): void {
    const { id } = endpoint.tenant;
    const reason = messageOf(error);
    const isNew = this.#waiting.get(id)?.reason !== reason;
    this.#forgetWaiting(id);
    this.#waiting.set(id, { reason, timer: setTimeout(() => this.open(endpoint, mayReturn), RETRY_AFTER).unref() });
    if (isNew) this.#actions.onFailure(id, error);
  }

  #forgetWaiting(tenant: string): void {
    clearTimeout(this.#waiting.get(tenant)?.timer);
    this.#waiting.delete(tenant);
  }

  async #listen(
    { requested, prepared }: Pick<OpenEndpoint, "requested" | "prepared">,
    mayReturn: boolean,
  ): Promise<OpenEndpoint> {
    const handler = this.#actions.openHandler(() => endpoint.prepared.tenant);
    const endpoint: OpenEndpoint = { requested, prepared, handler, socket: undefined };
    try {
      const bound = await this.#actions.bind(
        prepared,
        (connection) => handler.take(connection),
        () => endpoint.prepared.tenant,
      );
      endpoint.socket = bound;
      bound.gone.addEventListener("abort", () => {
        if (this.#open.get(prepared.tenant.id) !== endpoint) return;
        this.close(prepared.tenant.id, false);
        // A folder of the operator may return. The folder of a pod was removed with the pod.
        if (!endpoint.requested.isInTenantsFolder) this.open(endpoint.requested, mayReturn);
      });
    } catch (error) {
      await handler.close();
      throw error;
    }
    return endpoint;
  }

  #change(tenant: string, change: () => Promise<void>): void {
    const before = this.#changes.get(tenant) ?? Promise.resolve();
    const made = before.then(change).catch((error: unknown) => this.#actions.onFailure(tenant, error));
    this.#changes.set(tenant, made);
    void made.then(() => {
      if (this.#changes.get(tenant) === made) this.#changes.delete(tenant);
    });
  }

  async #shut({ prepared, socket, handler }: OpenEndpoint): Promise<void> {
    await socket?.close(); // from this point on, another server may listen there
    await handler.close(); // reports to clients why their calls end
    await socket?.[Symbol.asyncDispose]();
    await this.#actions.idle(prepared.tenant.id);
  }
}
