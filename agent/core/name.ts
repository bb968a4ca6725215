// The one rule for names that gateway and publisher must agree on: channel, compatible, hardware revision. A name that the
// publisher accepted and no gateway can be configured with would be a release that nobody ever gets.

export const namePattern = /^[a-z0-9][a-z0-9._-]{0,62}$/;
export const nameExpectation = 'lower-case letters, digits, ".", "_" or "-", at most 63';
