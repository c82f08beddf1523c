/**
 * Measures several images and several hosts: `npm run bench:several -- images`, `… hosts` and `… relay`. The two commands of a
 * ratio take turns in one run, so that other load on the machine affects both.
 */
import { parseArgs } from "node:util";
import type { EngineKind } from "../../test/testbed/engine-packages.ts";
import { measureHosts } from "./hosts.ts";
import { measureImages } from "./images.ts";
import { measureRelay } from "./relay.ts";

const USAGE = `npm run bench:several -- images|hosts|relay [options]

images: N images that share a base to one host, by one push and by N pushes
hosts:  one image to N hosts and to one, each host behind a link of its own
relay:  one image over one uplink to one host, to three by --relay, and to three; once each

--count N     images (7), or hosts (3)
--rounds N    whose median is reported (3)
--base MB     size of the layer that the images share (40)
--own MB      size of the layer of each image (4)
--content KIND  of the files: random, which does not compress, or text (text)
--mbit N      rate of the link in each direction (no limit for images, 100 for hosts, 10 for relay)
--near KIND --far KIND   engines of the test bed (28.5-containerd)
--args WORDS  options of each push, separated by spaces`;

export interface SeveralOptions {
  count: number;
  rounds: number;
  baseMB: number;
  ownMB: number;
  content: "random" | "text";
  mbit: number | undefined;
  near: EngineKind;
  far: EngineKind;
  args: string[];
}

const text = (value: string) => ({ type: "string", default: value }) as const;
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    count: { type: "string" },
    rounds: text("3"),
    base: text("40"),
    own: text("4"),
    content: text("text"),
    mbit: { type: "string" },
    near: text("28.5-containerd"),
    far: text("28.5-containerd"),
    args: text(""),
    help: { type: "boolean", default: false },
  },
});

const modes = {
  images: { measure: measureImages, count: 7 },
  hosts: { measure: measureHosts, count: 3, mbit: 100 },
  relay: { measure: measureRelay, count: 3, mbit: 10 },
};
const mode = modes[positionals[0] as keyof typeof modes];
if (values.help || mode === undefined) console.log(USAGE);
else {
  await mode.measure({
    count: Number(values.count ?? mode.count),
    rounds: Number(values.rounds),
    baseMB: Number(values.base),
    ownMB: Number(values.own),
    content: values.content === "random" ? "random" : "text",
    mbit: values.mbit === undefined ? ("mbit" in mode ? mode.mbit : undefined) : Number(values.mbit),
    near: values.near as EngineKind,
    far: values.far as EngineKind,
    args: values.args.split(" ").filter((word) => word !== ""),
  });
}
