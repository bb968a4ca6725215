// How long a trial may last, in one place for the gateway, the publisher and the test that holds otad-deadman.timer to it.

/**
 * The longest health deadline that gateways take as they are shipped. otad-deadman.timer ends a trial five minutes later: the
 * start and the last round of checks lie in between.
 */
export const healthDeadlineMaxMsDefault = 25 * 60_000;
