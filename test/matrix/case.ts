import type { Beds } from "./beds.ts";
import type { CaseImages, Image } from "./case-image.ts";

/** The state of a receiver before the transfer. case-image.ts defines the images. */
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

/** A source of images. */
export interface Source {
  /** A description with the version, for people. */
  what: string;
  /** The source exports the whole image uncompressed, whichever layers are missing. */
  exportsAll?: boolean;
  /**
   * Puts the image into the source.
   * @returns the words after `docker-over-ssh push` that name it, or the command after `docker-over-ssh pull`: see {@link Destination}
   */
  put(image: Image): Promise<string[]>;
  remove(image: Image): Promise<void>;
}

/** A destination of images. */
export interface Destination {
  /** A description with the version, for people. */
  what: string;
  /** Layers are sent to it uncompressed. */
  takesPlain?: boolean;
  /** The environment of the command. */
  env: Record<string, string>;
  /** A folder that the test bed removes when it ends. */
  folder: string;
  /** Brings the destination into the state. @returns the name of the image it then has, if any */
  prepare(state: State, images: CaseImages): Promise<string | undefined>;
  /**
   * Returns the command line of the transfer.
   * @param source the words from {@link Source.put}
   * @param copy a file that gets a copy of the sender's output
   */
  line(source: readonly string[], images: CaseImages, copy: string): string[];
  /**
   * Returns the observable properties of v2, before and after `older` is removed, and any unexpected names.
   */
  observe(images: CaseImages, older: string | undefined): Promise<unknown>;
  /** Returns the result of {@link observe} after a correct transfer. */
  expected(images: CaseImages, older: string | undefined): unknown;
  /** Removes the images of the case. */
  clear(images: CaseImages): Promise<void>;
}

/** A row of the table, opened on its first use. */
export interface SourceRow extends Entry {
  open(beds: Beds): Promise<Source>;
}

interface Entry {
  name: string;
  /** Returns the reason, in one line, why it cannot run on this machine. If it can, all slow preparations are done afterwards. */
  whyNot?(): Promise<string | undefined>;
}

/** A column of the table, opened on its first use. */
export interface DestinationColumn extends Entry {
  /** The states that the destination can have. */
  states: readonly State[];
  open(beds: Beds): Promise<Destination>;
}

/** The machines on which the tool runs, with the sources and destinations that it connects. */
export interface Setup {
  /** Part of titles and of image names. */
  name: string;
  sources: readonly SourceRow[];
  destinations: readonly DestinationColumn[];
}

export interface Case {
  setup: Setup;
  source: SourceRow;
  destination: DestinationColumn;
  state: State;
}
