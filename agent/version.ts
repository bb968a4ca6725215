// The agent's own version, as package.json has it (a test compares them): releases may ask for a minimum.

export const agentVersion = '0.1.0';
