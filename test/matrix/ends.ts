import type { Beds } from "./beds.ts";
import type { CaseImages, Image } from "./case-image.ts";

/** What a receiver has before the image is sent: see case-image.ts for the images. */
export const STATES = {
  empty: { name: "nothing", what: "no layer of the image" },
  loaded: { name: "base by load", what: "an older version on the same base, by `docker load` of plain layers" },
  pulled: { name: "base by pull", what: "the same older version, by `docker pull` of gzip layers from a registry" },
  halved: {
    name: "base without its blobs",
    what:
      "the same older version, by `docker load` and then by `docker pull`, with the loaded image removed. A containerd store " +
      "then has the layers unpacked but none of their blobs, so it cannot use them (other stores have no such state)",
  },
  restacked: {
    name: "base on another parent",
    what: "the base on another lowest layer: the same diff IDs but other chain IDs, so none of it can be used",
  },
  complete: { name: "all", what: "the same image under another name" },
} as const;

export type State = keyof typeof STATES;

/** From where images are sent. */
export interface Source {
  /** For people: what it is, and which version. */
  what: string;
  /** It gives all of the image, unpacked, whatever is missing. */
  givesAll?: boolean;
  /**
   * Puts the image there.
   * @returns the words after `docker-over-ssh push` that name it, or the command behind `docker-over-ssh pull`: see {@link Destination}
   */
  put(image: Image): Promise<string[]>;
  remove(image: Image): Promise<void>;
}

/** Where images are sent to. */
export interface Destination {
  /** For people: what it is, and which version. */
  what: string;
  /** It is sent layers unpacked. */
  takesPlain?: boolean;
  /** For the command that is typed. */
  env: Record<string, string>;
  /** For files that are to go with the test bed, however that ends. */
  folder: string;
  /** Brings it into the state, for these images. @returns the name of what is there now, if anything is */
  prepare(state: State, images: CaseImages): Promise<string | undefined>;
  /**
   * The command line of the transfer.
   * @param source what {@link Source.put} has told
   * @param copy a file that gets a copy of what the sending side writes
   */
  line(source: readonly string[], images: CaseImages, copy: string): string[];
  /**
   * What can be seen of v2 there, and again when `older` has been removed; with the names that came along and are not its own.
   */
  observe(images: CaseImages, older: string | undefined): Promise<unknown>;
  /** What {@link observe} gives when the image is there as it was sent. */
  expected(images: CaseImages, older: string | undefined): unknown;
  /** Removes what the case has left. */
  clear(images: CaseImages): Promise<void>;
}

/** A row of a table: opened when a case asks for it. */
export interface SourceEnd extends End {
  open(beds: Beds): Promise<Source>;
}

interface End {
  name: string;
  /** Why it cannot be had on this machine, in one line. Where it can, what takes minutes is done afterwards. */
  whyNot?(): Promise<string | undefined>;
}

/** A column of a table. */
export interface DestinationEnd extends End {
  /** Those that there can be. */
  states: readonly State[];
  open(beds: Beds): Promise<Destination>;
}

/** How two ends are joined, and which ones are. */
export interface Connect {
  /** For titles, and for the names of images. */
  name: string;
  sources: readonly SourceEnd[];
  destinations: readonly DestinationEnd[];
}

export interface Case {
  way: Connect;
  source: SourceEnd;
  destination: DestinationEnd;
  state: State;
}
