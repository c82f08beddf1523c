/** The features of a side that version 0.1 lacks. The hello lists them. A side uses a feature if the peer has it as well. */

/** Feature of a sender that answers a second `want`, for layers that the receiver has lost since the first. */
export const SECOND_WANT = "asks-again";

/** Feature of a side that can send or rebuild layers by delta. Unless both sides have it, layers are sent whole. */
export const CUTS_ON_DEMAND = "cuts-on-demand";

/** Feature of a sender that answers an `ask` without an image. */
export const OFFERS_NAMES = "offers-names";

/** Feature of a side that can perform a dry run: it answers with a plan, and no layer is fetched. */
export const PLANS = "plans";

/** Feature of a side that can transfer an image with its index: several platforms, and attestations. */
export const INDEXES = "indexes";

/** Feature of a side that supports several `images` messages in a tunnel: the link stays open after the first images. */
export const MORE_IMAGES = "more-images";

/** Feature of a side that builds, or requests a build. A side that was started to send or receive an image does not have it. */
export const BUILDS = "builds";

/** In the hello of a side with --dry-run, which counts for both sides. It is not a feature: a side without it performs a transfer. */
export const DRY_RUN = "dry-run";

/** The features of this version. */
export const FEATURES = [SECOND_WANT, CUTS_ON_DEMAND, OFFERS_NAMES, PLANS, INDEXES] as const;
