import type { FileLocation } from "../../image/location.ts";
import { Failure } from "../../output/errors.ts";
import type { LocationConnection } from "../../request.ts";
import type { OptionDefinition, Words } from "./command-definition.ts";
import { givenHostOptions } from "./host-options.ts";
import { atLeastOne } from "./image-list.ts";
import { readLocation } from "./read-names.ts";
import { isAddress } from "./read-words.ts";
import type { SharedOptions } from "./shared-options.ts";

/** Values of --to of push, and what belongs to it. */
export interface ToOptions {
  to?: string | undefined;
  have?: string | undefined;
}

export const TO_OPTIONS: readonly OptionDefinition[] = [
  {
    flags: "--to <location>",
    description:
      "write the image to docker-archive:FILE, oci:FOLDER or oci-archive:FILE, and to no host; FILE may be a pipe, or - for stdout",
  },
  {
    flags: "--have <file>",
    description:
      "with --to oci-archive:FILE: leave out what an engine has, as docker-over-ssh list ssh://HOST > FILE has written it; pull --from there completes the image. Layers that are missing there are written by delta if both engines have an image like this one (--delta never: whole)",
  },
];

export const FROM_OPTION: OptionDefinition = {
  flags: "--from <location>",
  description:
    "read the image from docker-archive:FILE, oci:FOLDER or oci-archive:FILE, and from no host; FILE may be an archive of push --have, or - for stdin",
};

/**
 * Returns the words of a command whose other side is a location: all of them are images. Throws a `usage` Failure for another side.
 *
 * @param option with its value, for messages
 * @param listed the images, if an option has named them
 */
export function wordsWithLocation(words: readonly string[], option: string, listed?: readonly string[]): Words {
  const images = words.at(-1) === "--" ? words.slice(0, -1) : words;
  const other = images.find((word) => listed !== undefined || isAddress(word) || word === "--");
  if (other !== undefined) throw twoSides(option, other);
  return { images: atLeastOne(listed ?? images), command: [] };
}

/** The Failure for several images and a place for one. */
export function takesOneImage(to: string): Failure {
  return new Failure("usage", `--to ${to} takes one image, and several are named`, {
    expected: "an engine, or --to oci:FOLDER without a name",
    hint: "Write the images to a layout, or run the command once for each.",
  });
}

/**
 * Reads the location of --to or --from as the other side. Throws a `usage` Failure for an engine, and for options that need a host.
 *
 * @param option as it was typed, for messages
 * @param others further options that are given and need a host
 */
export function readOtherSide(
  given: string,
  option: "--to" | "--from",
  options: SharedOptions,
  others: readonly string[] = [],
): Pick<LocationConnection, "kind" | "location"> {
  const location = readLocation(given);
  if (location === undefined || location.kind === "docker-daemon") {
    throw new Failure("usage", `${option} ${given} names no file or folder`, {
      expected: "docker-archive:FILE, oci:FOLDER or oci-archive:FILE",
      hint: `For instance ${option} oci-archive:app.tar`,
    });
  }
  const unused = [...givenHostOptions(options), ...others];
  if (unused[0] !== undefined) throw twoSides(`${option} ${given}`, unused[0]);
  if (options.compress !== undefined && options.compress.how !== "auto" && options.compress.how !== "none") {
    throw new Failure("usage", `--compress has no meaning with ${option} ${given}: no link is between the two sides`, {
      expected: "one of them",
      hint: "Leave --compress out.",
    });
  }
  return { kind: "location", location };
}

function twoSides(option: string, other: string): Failure {
  return new Failure("usage", `${option} is the other side, and ${other} is for another one`, {
    expected: "one of them",
    hint: "Run the command once for each.",
  });
}

/** Throws a `usage` Failure where --have does not fit. */
export function refuseHave(
  have: string,
  location: FileLocation | undefined,
  { allPlatforms = false, platform = [] }: SharedOptions = {},
): void {
  if (allPlatforms || platform.length > 1) {
    throw new Failure("usage", `--have ${have} is for one platform, and several are asked for`, {
      expected: "one --platform, or none",
      hint: "Write an archive for each platform.",
    });
  }
  if (location?.kind === "oci-archive" && location.name !== undefined) {
    throw new Failure(
      "usage",
      `${location.given} names the image, and an archive for --have ${have} has its full names`,
      {
        expected: "no name behind the file",
        hint: `For instance --to oci-archive:${location.path} --as app:v2`,
      },
    );
  }
  if (location?.kind === "oci-archive") return;
  throw new Failure("usage", `--have ${have} needs an archive to leave layers out of`, {
    expected: "--to oci-archive:FILE, or - for stdout",
    hint: `For instance push --to oci-archive:part.tar --have ${have} IMAGE`,
  });
}
