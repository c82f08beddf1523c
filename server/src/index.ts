/** The build service, for `docker-over-ssh serve`, which finds this package where it is installed. */
export type { ServeSettings } from "./settings.ts";
