import type { FileLocation } from "../../image/location.ts";
import { Failure } from "../../output/errors.ts";
import type { LocationConnection } from "../../request.ts";
import type { OptionDefinition, Words } from "./command-definition.ts";
import { givenHostOptions } from "./host-options.ts";
import { atLeastOne } from "./image-list.ts";
import { readLocation } from "./read-names.ts";
import { isAddress } from "./read-words.ts";
import type { SharedOptions } from "./shared-options.ts";

/** Values of --to of push, and of the options for it. */
export interface ToOptions {
  to?: string | undefined;
  have?: string | undefined;
}

export const TO_OPTIONS: readonly OptionDefinition[] = [
  {
    flags: "--to <location>",
    description:
      "write the image to docker-archive:FILE, oci:FOLDER or oci-archive:FILE instead of a host; FILE may be a pipe, or - for stdout",
  },
  {
    flags: "--have <file>",
    description:
      "with --to oci-archive:FILE: omit the layers that another engine has, according to its list (docker-over-ssh list ssh://HOST > LIST); pull --from on that host completes the image. The missing layers are written by delta if both engines have a similar image (--delta never: whole)",
  },
];

export const FROM_OPTION: OptionDefinition = {
  flags: "--from <location>",
  description:
    "read the image from docker-archive:FILE, oci:FOLDER or oci-archive:FILE instead of a host; FILE may be an archive of push --have, or - for stdin",
};

/**
 * Returns the words of a command whose other side is a location, so all words are images. Throws a `usage` Failure if they name another side.
 *
 * @param option the option with its value, for messages
 * @param listed the images, if an option has named them
 */
export function wordsWithLocation(words: readonly string[], option: string, listed?: readonly string[]): Words {
  const images = words.at(-1) === "--" ? words.slice(0, -1) : words;
  const other = images.find((word) => listed !== undefined || isAddress(word) || word === "--");
  if (other !== undefined) throw twoSides(option, other);
  return { images: atLeastOne(listed ?? images), command: [] };
}

/** Returns the Failure for several images and a target for one. */
export function takesOneImage(to: string): Failure {
  return new Failure("usage", `--to ${to} accepts one image, but several are named`, {
    expected: "an engine, or --to oci:FOLDER without a name",
    hint: "Write the images to a layout, or run the command once for each.",
  });
}

/**
 * Reads the location of --to or --from as the other side. Throws a `usage` Failure for an engine, and for options that need a host.
 *
 * @param option the option, for messages
 * @param others further given options that need a host
 */
export function readOtherSide(
  given: string,
  option: "--to" | "--from",
  options: SharedOptions,
  others: readonly string[] = [],
): Pick<LocationConnection, "kind" | "location"> {
  const location = readLocation(given);
  if (location === undefined || location.kind === "docker-daemon") {
    throw new Failure("usage", `${option} ${given} does not name a file or folder`, {
      expected: "docker-archive:FILE, oci:FOLDER or oci-archive:FILE",
      hint: `For instance ${option} oci-archive:app.tar`,
    });
  }
  const unused = [...givenHostOptions(options), ...others];
  if (unused[0] !== undefined) {
    const does = option === "--to" ? "writes to" : "reads from";
    throw new Failure("usage", `${unused[0]} is for a host, but ${option} ${given} ${does} a file or a folder`, {
      expected: "one of them",
      hint: `Omit ${unused[0]}.`,
    });
  }
  if (options.compress !== undefined && options.compress.how !== "auto" && options.compress.how !== "none") {
    throw new Failure(
      "usage",
      `--compress has no effect with ${option} ${given}, because there is no link between the two sides`,
      {
        expected: "one of them",
        hint: "Omit --compress.",
      },
    );
  }
  return { kind: "location", location };
}

function twoSides(option: string, other: string): Failure {
  return new Failure("usage", `${option} is the other side, but ${other} is for a different one`, {
    expected: "one of them",
    hint: "Run the command once for each.",
  });
}

/** Throws a `usage` Failure if --have cannot be used. */
export function refuseHave(
  have: string,
  location: FileLocation | undefined,
  { allPlatforms = false, platform = [] }: SharedOptions = {},
): void {
  if (allPlatforms || platform.length > 1) {
    throw new Failure("usage", `--have ${have} is for one platform, but several are requested`, {
      expected: "one --platform, or none",
      hint: "Write an archive for each platform.",
    });
  }
  if (location?.kind === "oci-archive" && location.name !== undefined) {
    throw new Failure(
      "usage",
      `${location.given} names the image, but an archive for --have ${have} contains its full names`,
      {
        expected: "no name after the file",
        hint: `For instance --to oci-archive:${location.path} --as app:v2`,
      },
    );
  }
  if (location?.kind === "oci-archive") return;
  throw new Failure("usage", `--have ${have} needs an archive from which to omit layers`, {
    expected: "--to oci-archive:FILE, or - for stdout",
    hint: `For instance push --to oci-archive:part.tar --have ${have} IMAGE`,
  });
}
