import type { Duplex } from "node:stream";
import { Failure, messageOf } from "docker-over-ssh/builds";
import type { SeatedTenant, Tenant } from "../tenant.ts";

/** What takes the connections of one tenant. */
export interface Front {
  /** Owns the connection. */
  take(connection: Duplex): void;
  /** Ends all that is open. */
  close(): Promise<void>;
}

/** A socket that listens. Disposing closes it, and destroys its connections. */
export interface Socket extends AsyncDisposable {
  /** Removes it; connections stay. */
  close(): Promise<void>;
  /** Aborted when its folder has gone */
  readonly gone: AbortSignal;
}

export interface SeatParts {
  /** Opens what answers a tenant. `tenant` returns what it is by now: its limits may change while it is there. */
  openFront(tenant: () => Tenant): Front;
  bind(seated: SeatedTenant, onConnection: (connection: Duplex) => void, tenant: () => Tenant): Promise<Socket>;
  /** Makes what the tenant's builds run in. Returns the tenant with it. */
  prepare(tenant: Tenant, mayReturn: boolean): Promise<Tenant>;
  /** Resolves when nothing runs for a tenant any more, whose socket has been closed. */
  idle(tenant: string): Promise<void>;
  /** A tenant is not served any more. */
  left(tenant: string): Promise<void>;
  /** Removes all that a tenant has. */
  clear(tenant: string): Promise<void>;
  /** A change of a tenant has failed. Told once for each reason for which a tenant cannot be served. */
  onFailure(tenant: string, error: unknown): void;
}

/** ms after which a tenant that could not be served is tried again: its folder, or the cgroup above its own, may come later */
const RETRY_AFTER = 30_000;

/** A tenant that could not be served, or not with what it has now. */
interface Waiting {
  reason: string;
  timer: NodeJS.Timeout;
}

/** A tenant that is served. */
interface Seat {
  /** As it was asked for, and with what was prepared for it */
  asked: SeatedTenant;
  seated: SeatedTenant;
  front: Front;
  socket: Socket | undefined;
}

/**
 * The tenants that are served, each with its socket. Changes of one tenant are made one after the other; what fails is told, concerns this tenant alone, and
 * is tried again. Disposing closes all sockets, and removes nothing that tenants have.
 */
export class Seats implements AsyncDisposable {
  readonly #parts: SeatParts;
  readonly #seats = new Map<string, Seat>();
  readonly #waiting = new Map<string, Waiting>();
  readonly #changes = new Map<string, Promise<void>>();

  constructor(parts: SeatParts) {
    this.#parts = parts;
  }

  /** Ids of the tenants that are served, or will be as soon as that is possible */
  get tenants(): string[] {
    return [...new Set([...this.#seats.keys(), ...this.#waiting.keys()])];
  }

  /** The paths of all sockets */
  get sockets(): string[] {
    return [...this.#seats.values()].map(({ seated: { socket } }) => socket);
  }

  /**
   * Serves a tenant; one that is served gets its new limits, and its new socket where that has changed.
   *
   * @param mayReturn whether the tenant may come back, once it has gone
   */
  seat(seated: SeatedTenant, mayReturn: boolean): void {
    const { id } = seated.tenant;
    clearTimeout(this.#waiting.get(id)?.timer);
    this.#change(id, async () => {
      try {
        await this.#seat(seated, mayReturn);
        this.#waiting.delete(id);
      } catch (error) {
        this.#tryLater(seated, mayReturn, error);
      }
    });
  }

  /** Ends a tenant's socket and its requests. `isForGood`: and removes all that it has. */
  leave(tenant: string, isForGood: boolean): void {
    clearTimeout(this.#waiting.get(tenant)?.timer);
    this.#change(tenant, async () => {
      this.#forgetWaiting(tenant);
      const seat = this.#seats.get(tenant);
      this.#seats.delete(tenant);
      if (seat !== undefined) await this.#unseat(seat);
      await this.#parts.left(tenant); // also of one that was not served: something may have been prepared
      if (isForGood) await this.#parts.clear(tenant);
    });
  }

  /** Resolves when all changes that were asked for are made. */
  async settled(): Promise<void> {
    await Promise.all(this.#changes.values());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.settled();
    for (const id of this.#waiting.keys()) this.#forgetWaiting(id);
    await Promise.all([...this.#seats.values()].map(async (seat) => await this.#unseat(seat)));
    this.#seats.clear();
  }

  async #seat(asked: SeatedTenant, mayReturn: boolean): Promise<void> {
    const { id } = asked.tenant;
    const before = this.#seats.get(id);
    const seated = { ...asked, tenant: await this.#parts.prepare(asked.tenant, mayReturn) };
    if (before !== undefined && before.seated.socket === asked.socket) {
      Object.assign(before, { asked, seated });
      return;
    }
    const other = [...this.#seats.values()].find(({ seated: { socket } }) => socket === asked.socket);
    if (other !== undefined) {
      throw new Failure("usage", `${asked.socket} is the socket of the tenant ${other.seated.tenant.id}`);
    }
    // Another tenant may get its socket from now on.
    this.#seats.delete(id);
    if (before !== undefined) await this.#unseat(before);
    this.#seats.set(id, await this.#open({ asked, seated }, mayReturn));
  }

  #tryLater(seated: SeatedTenant, mayReturn: boolean, error: unknown): void {
    const { id } = seated.tenant;
    const reason = messageOf(error);
    const isNew = this.#waiting.get(id)?.reason !== reason;
    this.#forgetWaiting(id);
    this.#waiting.set(id, { reason, timer: setTimeout(() => this.seat(seated, mayReturn), RETRY_AFTER).unref() });
    if (isNew) this.#parts.onFailure(id, error);
  }

  #forgetWaiting(tenant: string): void {
    clearTimeout(this.#waiting.get(tenant)?.timer);
    this.#waiting.delete(tenant);
  }

  async #open({ asked, seated }: Pick<Seat, "asked" | "seated">, mayReturn: boolean): Promise<Seat> {
    const front = this.#parts.openFront(() => seat.seated.tenant);
    const seat: Seat = { asked, seated, front, socket: undefined };
    try {
      const bound = await this.#parts.bind(
        seated,
        (connection) => front.take(connection),
        () => seat.seated.tenant,
      );
      seat.socket = bound;
      bound.gone.addEventListener("abort", () => {
        if (this.#seats.get(seated.tenant.id) !== seat) return;
        this.leave(seated.tenant.id, false);
        // A folder of the operator may come back. That of a pod has gone with it.
        if (!seat.asked.isInTenantsFolder) this.seat(seat.asked, mayReturn);
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

  async #unseat({ seated, socket, front }: Seat): Promise<void> {
    await socket?.close(); // somebody else may listen there now
    await front.close(); // clients are told why their calls end
    await socket?.[Symbol.asyncDispose]();
    await this.#parts.idle(seated.tenant.id);
  }
}
