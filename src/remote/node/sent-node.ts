import { createReadStream, statSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import { askOnTerminal } from "../../output/ask-on-terminal.ts";
import { bytes } from "../../output/describe.ts";
import { Failure, messageOf } from "../../output/errors.ts";
import type { HostConnection } from "../../request.ts";
import { countBytes } from "../../streams/count-bytes.ts";
import { stallTimer } from "../../streams/stall-timer.ts";
import type { Context } from "../../transfer.ts";
import { hostName } from "../login/login.ts";
import { chooseNode, type NodeBinary } from "./node-binary.ts";
import { withNodeOfPackage } from "./node-package.ts";
import {
  findPackedNode,
  keyOf,
  openNodeFolder,
  packNode,
  readPackedNode,
  removePackedNode,
  type PackedNode,
} from "./pack-node.ts";
import type { RemoteCommand } from "../login/remote-command.ts";
import type { RemoteSystem } from "../script/remote-lines.ts";
import { DAMAGED_NODE } from "../script/sent-node-script.ts";

/** Usual compressed bytes of a Node, for the question before the size is known. */
const USUAL_SIZE = 40e6;
/** ms without progress after which the remote side counts as stalled. */
const STALL_TIMEOUT = 60_000;
/** ms for an answer to the question. Without an answer, the transfer continues without a Node. */
const ASK_TIMEOUT = 60_000;
const NOT_WANTED = "no sending it was declined";

/** Sends a Node to a remote side that has none: this side's part of the dialog with the script's blocks in sent-node-script.ts. */
export class SentNode {
  readonly #connection: HostConnection;
  readonly #context: Context;
  readonly #ask: (question: string, signal: AbortSignal) => Promise<string | undefined>;
  #node: PackedNode | undefined;
  #isWanted: boolean | undefined;

  /** @param ask asks a person a question */
  constructor(
    connection: HostConnection,
    context: Context,
    ask = async (question: string, signal: AbortSignal) => await askOnTerminal(question, { isShown: true, signal }),
  ) {
    this.#connection = connection;
    this.#context = context;
    this.#ask = ask;
    if (!connection.asksForNode) this.#isWanted = true;
  }

  /**
   * Returns the answer to the line that names the remote system: a suitable Node, or why there is none. The first call packs or fetches the
   * Node.
   */
  async answer(system: RemoteSystem): Promise<string> {
    const binary = chooseNode(system);
    if ("refused" in binary) return `no ${binary.refused}`;
    try {
      const folder = openNodeFolder(this.#context.env);
      const key = keyOf(sourceOf(binary));
      this.#node = findPackedNode(folder, key);
      if (this.#node === undefined) {
        if (!(await this.#wanted(USUAL_SIZE))) return NOT_WANTED;
        this.#node = await this.#pack(binary, folder, key);
      }
      const { digest, packedSize, size } = this.#node;
      return `node ${digest} ${packedSize} ${size}`;
    } catch (error) {
      this.#context.signal.throwIfAborted();
      return `no ${messageOf(error)}`;
    }
  }

  /** Answers the line that requests the Node. */
  async send({ child, words }: RemoteCommand): Promise<void> {
    const node = this.#node;
    if (node === undefined || !(await this.#wanted(node.packedSize))) return void child.stdin.write(`${NOT_WANTED}\n`);
    const { output, signal } = this.#context;
    output.detail({ code: "node-sent", bytes: node.packedSize });
    using timer = stallTimer((ms) => stalled(words, ms), signal);
    let current = 0;
    const onBytes = (count: number): void => {
      current += count;
      output.progress({ stage: "sending", current, total: node.packedSize });
      timer.start(STALL_TIMEOUT);
    };
    child.stdin.write("send\n");
    try {
      await pipeline(countBytes(readPackedNode(node), onBytes), child.stdin, { signal: timer.signal, end: false });
    } catch (error) {
      timer.signal.throwIfAborted();
      // Either the remote side has ended, which its next line shows, or the local file cannot be read.
      if (current < node.packedSize && !child.stdin.errored && !child.stdin.destroyed) throw error;
    }
  }

  /** Handles a Node that the script has skipped. Removes it if its file may be damaged, so that it is not sent again. */
  skipped(reason: string): void {
    if (this.#node !== undefined && reason.startsWith(DAMAGED_NODE)) removePackedNode(this.#node);
  }

  async #wanted(size: number): Promise<boolean> {
    if (this.#isWanted === undefined) {
      const host = hostName(this.#connection);
      const question = `no Node on ${host} can run docker-over-ssh: send one, ${bytes(size)}, once? (--far engine does not ask) [y/N] `;
      using timer = stallTimer(() => new Error("nobody has answered"), this.#context.signal);
      timer.start(ASK_TIMEOUT);
      const typed = await this.#ask(question, timer.signal).catch(() => undefined); // also if the terminal is closed
      this.#context.signal.throwIfAborted();
      this.#isWanted = /^\s*y(?:es)?\s*$/i.test(typed ?? "");
    }
    return this.#isWanted;
  }

  async #pack(binary: NodeBinary, folder: string, key: string): Promise<PackedNode> {
    const { output, signal } = this.#context;
    output.progress({ stage: "preparing", current: 0 });
    const pack = async (content: AsyncIterable<Buffer>) => await packNode(folder, key, content, signal);
    if (binary.kind === "package") {
      output.detail({ code: "node-fetched", name: binary.name, version: binary.version });
      this.#node = await withNodeOfPackage(binary, folder, signal, pack);
    } else {
      this.#node = await pack(createReadStream(process.execPath));
    }
    output.detail({ code: "node-packed", bytes: this.#node.packedSize });
    return this.#node;
  }
}

/** Returns a text that identifies the binary and its version. */
function sourceOf(binary: NodeBinary): string {
  if (binary.kind === "package") return binary.integrity;
  const { size, mtimeMs } = statSync(process.execPath);
  return [process.execPath, process.version, size, mtimeMs].join("\n");
}

function stalled(words: string, ms: number): Failure {
  return new Failure("link-lost", `\`${words}\` has accepted no bytes for ${ms / 1000} s while Node is sent there`, {
    expected: "a link that moves bytes",
    hint: "Check the link and the remote side, then run the same command again: there is nothing to undo.",
  });
}
