import type { Duplex } from "node:stream";
import { Failure } from "docker-over-ssh/builds";
import type { SeatedTenant, Tenant } from "../tenant.ts";

/** What takes the connections of one tenant. */
export interface Front {
  /** Owns the connection. */
  take(connection: Duplex): void;
  /** Ends all that is open. */
  close(): Promise<void>;
}

/** A socket that listens. Disposing removes it, and destroys its connections. */
export interface Socket extends AsyncDisposable {
  /** Aborted when its folder has gone */
  readonly gone: AbortSignal;
}

export interface SeatParts {
  /** Opens what answers a tenant. `tenant` returns what it is by now: its limits may change while it is there. */
  openFront(tenant: () => Tenant): Front;
  bind(seated: SeatedTenant, onConnection: (connection: Duplex) => void, tenant: () => Tenant): Promise<Socket>;
  /** Makes what the tenant's builds run in. Returns the tenant with it. */
  prepare(tenant: Tenant): Promise<Tenant>;
  /** A tenant has no socket any more. */
  left(tenant: string): Promise<void>;
  /** Removes all that a tenant has. */
  clear(tenant: string): Promise<void>;
  /** A change of a tenant has failed. */
  onFailure(tenant: string, error: unknown): void;
}

/** A tenant that is served. */
interface Seat {
  seated: SeatedTenant;
  front: Front;
  socket: Socket | undefined;
}

/**
 * The tenants that are served, each with its socket. Changes of one tenant are made one after the other; what fails is told, and concerns this tenant
 * alone. Disposing closes all sockets, and removes nothing that tenants have.
 */
export class Seats implements AsyncDisposable {
  readonly #parts: SeatParts;
  readonly #seats = new Map<string, Seat>();
  readonly #changes = new Map<string, Promise<void>>();

  constructor(parts: SeatParts) {
    this.#parts = parts;
  }

  /** Ids of the tenants that have a socket */
  get tenants(): string[] {
    return [...this.#seats.keys()];
  }

  /** The paths of all sockets */
  get sockets(): string[] {
    return [...this.#seats.values()].map(({ seated: { socket } }) => socket);
  }

  /** Serves a tenant; one that is served gets its new limits, and its new socket where that has changed. */
  seat(seated: SeatedTenant): void {
    this.#change(seated.tenant.id, async () => {
      const before = this.#seats.get(seated.tenant.id);
      const prepared = { ...seated, tenant: await this.#parts.prepare(seated.tenant) };
      if (before !== undefined && before.seated.socket === seated.socket) {
        before.seated = prepared;
        return;
      }
      const other = [...this.#seats.values()].find(({ seated: { socket } }) => socket === seated.socket);
      if (other !== undefined && other !== before) {
        throw new Failure("usage", `${seated.socket} is the socket of the tenant ${other.seated.tenant.id}`);
      }
      if (before !== undefined) await unseat(before);
      this.#seats.delete(seated.tenant.id);
      this.#seats.set(seated.tenant.id, await this.#open(prepared));
    });
  }

  /** Ends a tenant's socket and its requests. `isForGood`: and removes all that it has. */
  leave(tenant: string, isForGood: boolean): void {
    this.#change(tenant, async () => {
      const seat = this.#seats.get(tenant);
      this.#seats.delete(tenant);
      if (seat !== undefined) {
        await unseat(seat);
        await this.#parts.left(tenant);
      }
      if (isForGood) await this.#parts.clear(tenant);
    });
  }

  /** Resolves when all changes that were asked for are made. */
  async settled(): Promise<void> {
    await Promise.all(this.#changes.values());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.settled();
    await Promise.all([...this.#seats.values()].map(unseat));
    this.#seats.clear();
  }

  async #open(seated: SeatedTenant): Promise<Seat> {
    const front = this.#parts.openFront(() => seat.seated.tenant);
    const seat: Seat = { seated, front, socket: undefined };
    try {
      const bound = await this.#parts.bind(
        seated,
        (connection) => front.take(connection),
        () => seat.seated.tenant,
      );
      seat.socket = bound;
      bound.gone.addEventListener("abort", () => {
        if (this.#seats.get(seated.tenant.id) === seat) this.leave(seated.tenant.id, false);
      });
    } catch (error) {
      await front.close();
      throw error;
    }
    return seat;
  }

  #change(tenant: string, change: () => Promise<void>): void {
    const before = this.#changes.get(tenant) ?? Promise.resolve();
    const made = before.then(change).catch((error: unknown) => this.#parts.onFailure(tenant, error));
    this.#changes.set(tenant, made);
    void made.then(() => {
      if (this.#changes.get(tenant) === made) this.#changes.delete(tenant);
    });
  }
}

async function unseat({ socket, front }: Seat): Promise<void> {
  await socket?.[Symbol.asyncDispose]();
  await front.close();
}
