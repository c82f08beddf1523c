import { buildImage } from "./images.ts";
import { tooSlow, type Link } from "./links.ts";
import { transfer, type Measured } from "./measure.ts";
import { Memories } from "./memories.ts";
import type { Options } from "./options.ts";
import { patchBytes } from "./peers/patch.ts";
import type { Peer } from "./peers/peer.ts";
import { Receiver, type State } from "./receiver.ts";
import type { Row } from "./results.ts";
import { byBefore, type Scenario } from "./scenarios.ts";
import { openStage, type Stage } from "./stage.ts";
import { median } from "./statistics.ts";
import type { Store } from "./stores.ts";

/** Seconds above which a case is measured once instead of three times, unless --repeat is given. */
const SLOW = 20;
/** Seconds after which a transfer is treated as hanging. */
const HANGS = 1200;

export interface RunContext {
  signal: AbortSignal;
  onStage(stage: Stage): void;
  onRow(row: Row): void;
  say(words: string): void;
}

/** Measures all selected cases between the engines of one store. */
export async function runStore(store: Store, options: Options, context: RunContext): Promise<void> {
  context.say(`${store.name}: starting engines`);
  await using stage = await openStage(store);
  context.onStage(stage);
  const receiver = new Receiver(stage);
  const run = new StoreRun({ stage, receiver, fresh: await receiver.state(), options, context });
  for (const scenarios of byBefore(options.scenarios)) {
    await run.build(scenarios);
    for (const peer of options.peers) await run.peer(peer, scenarios);
  }
}

interface Parts {
  stage: Stage;
  receiver: Receiver;
  /** The state of the receiver before the first transfer. */
  fresh: State;
  options: Options;
  context: RunContext;
}

class StoreRun {
  readonly #parts: Parts;
  readonly #memories: Memories;
  /** Bytes that crossed a faster link, by peer and scenario. */
  readonly #bytes = new Map<string, number>();

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#memories = new Memories(parts.stage.memories);
  }

  async build(scenarios: Scenario[]): Promise<void> {
    const { stage, context } = this.#parts;
    for (const { name, before, after } of scenarios) {
      context.say(`${stage.store.name}: building the images of "${name}"`);
      for (const layers of [before, after]) {
        context.signal.throwIfAborted();
        if (layers.length > 0) await buildImage(stage.bed.near, layers);
      }
      if (before.length === 0) continue;
      const toFar = await patchBytes(before, after);
      const of = { store: stage.store.name, scenario: name, link: "any", peer: "zstd --patch-from" };
      context.onRow({ ...of, yardstick: true, toFar, why: "a size to look at: it needs both images on one machine" });
    }
  }

  /** Sends app:v1 to the receiver with the peer, and then sends app:v2 repeatedly. */
  async peer(peer: Peer, scenarios: Scenario[]): Promise<void> {
    const { options, context } = this.#parts;
    const cells = scenarios.flatMap((scenario) => options.links.map((link) => ({ scenario, link })));
    let before: State;
    try {
      if (peer.whyNot !== undefined) throw new Error(peer.whyNot);
      before = await this.#prepare(peer, scenarios[0]?.before ?? []);
    } catch (error) {
      context.signal.throwIfAborted();
      if (peer.whyNot === undefined) await this.#parts.receiver.restart();
      for (const { name } of scenarios) this.#tell(name, "any", peer, { why: wordsOf(error) });
      return;
    }
    for (const { scenario, link } of cells) {
      context.signal.throwIfAborted();
      const why = tooSlow(link, this.#bytes.get(`${peer.name} ${scenario.name}`));
      this.#tell(scenario.name, link.name, peer, why ? { why } : await this.#measure(peer, scenario, link, before));
    }
  }

  async #prepare(peer: Peer, layers: Scenario["before"]): Promise<State> {
    const { stage, receiver, fresh, context } = this.#parts;
    context.say(`${stage.store.name}: app:v1 by ${peer.name}`);
    await this.#cleanSender();
    await this.#memories.forget();
    await receiver.putBack(fresh);
    if (layers.length > 0) {
      await stage.bed.limitRate(undefined);
      await stage.bed.near.docker("tag", await buildImage(stage.bed.near, layers), "app:v1");
      await transfer(stage, peer, "app:v1", this.#within(HANGS));
    }
    await this.#memories.remember();
    return layers.length > 0 ? await receiver.state() : fresh;
  }

  async #measure(peer: Peer, scenario: Scenario, link: Link, before: State): Promise<Partial<Row>> {
    const { stage, receiver, options, context } = this.#parts;
    const { near } = stage.bed;
    await near.docker("tag", await buildImage(near, scenario.after), "app:v2");
    await stage.bed.limitRate(link.mbit);
    const all: Measured[] = [];
    const limit = link.patience === undefined ? HANGS : link.patience * 1.5;
    try {
      do {
        await this.#cleanSender();
        await this.#memories.putBack();
        await receiver.putBack(before);
        all.push(await transfer(stage, peer, "app:v2", this.#within(limit)));
      } while (all.length < (options.repeat ?? ((all[0]?.seconds ?? 0) > SLOW ? 1 : 3)));
    } catch (error) {
      context.signal.throwIfAborted();
      await receiver.restart();
      const isSlow = error instanceof Error && error.name === "TimeoutError";
      return { why: isSlow ? `broken off after ${limit} s` : wordsOf(error) };
    }
    this.#bytes.set(`${peer.name} ${scenario.name}`, Math.max(all[0]?.toFar ?? 0, all[0]?.toNear ?? 0));
    return medians(all);
  }

  #within(seconds: number): AbortSignal {
    return AbortSignal.any([this.#parts.context.signal, AbortSignal.timeout(seconds * 1000)]);
  }

  /** Removes the names that were created to push to the registry. */
  async #cleanSender(): Promise<void> {
    const { near } = this.#parts.stage.bed;
    const { references } = await near.listing();
    for (const reference of references.filter((reference) => reference.startsWith("127.0.0.1:"))) {
      await near.docker("rmi", "--force", reference).catch(() => {}); // the previous removal may have removed it
    }
  }

  #tell(scenario: string, link: string, { name, ours }: Peer, figures: Partial<Row>): void {
    const of = { store: this.#parts.stage.store.name, scenario, link, peer: name };
    this.#parts.context.onRow({ ...of, ...(ours ? { ours } : {}), ...figures });
  }
}

function medians(all: Measured[]): Partial<Row> {
  const of = (key: keyof Measured): number => median(all.map((measured) => measured[key] ?? NaN));
  const peaks = all[0]?.peakNear === undefined ? {} : { peakNear: of("peakNear"), peakFar: of("peakFar") };
  return { repeats: all.length, seconds: of("seconds"), toFar: of("toFar"), toNear: of("toNear"), ...peaks };
}

function wordsOf(error: unknown): string {
  const words = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
  return words.length > 120 ? `${words.slice(0, 119)}…` : words;
}
