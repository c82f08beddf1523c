/** What a side can do that version 0.1 cannot, named in its hello. A side uses it where the peer has it as well. */

/** Feature of a sender that answers a second `want`, for layers that the receiver had and has lost meanwhile. */
export const SECOND_WANT = "asks-again";

/** Feature of a side that can send or rebuild layers by delta. Unless both have it, layers are sent whole. */
export const CUTS_ON_DEMAND = "cuts-on-demand";

/** Feature of a sender that answers an `ask` without an image. */
export const OFFERS_NAMES = "offers-names";

/** Feature of a side that can make a dry run: it answers with a plan, and no layer is fetched. */
export const PLANS = "plans";

/** Feature of a side that can move an image with its index: several platforms, and attestations. */
export const INDEXES = "indexes";

/** Feature of a side that can have several `images` messages in a tunnel: the link stays after the first images. */
export const MORE_IMAGES = "more-images";

/** Feature of a side that builds, or has something built: not of one that was started to send or receive an image. */
export const BUILDS = "builds";

/** In the hello of a side with --dry-run, which counts for both. Not a feature: a side that has none is asked for a transfer. */
export const DRY_RUN = "dry-run";

/** The features of this version. */
export const FEATURES = [SECOND_WANT, CUTS_ON_DEMAND, OFFERS_NAMES, PLANS, INDEXES] as const;
