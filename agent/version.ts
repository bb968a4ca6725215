// The version of otad and its tools, as package.json has it (a test compares them): releases may ask for a minimum.

export const agentVersion = '0.1.0';
