// The version of the agent, as package.json says it; a test compares the two.

export const agentVersion = '0.1.0';
