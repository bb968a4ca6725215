// Makes the agent's programs into single files for devices: otad.mjs, otad-boot.mjs and otactl.mjs, with the sqlite3 addon and
// libzstd beside them. A gateway needs Node and these five files, no node_modules.

import { copyFile, mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { build, type Plugin } from 'esbuild';

export interface BundleOptions {
  /** Where package.json and node_modules are. */
  readonly projectDir: string;
  readonly outDir: string;
}

const addonName = 'node_sqlite3.node';
/** Recompresses blocks for patches; `delta/zstd-module.ts` looks for it beside the bundle. */
const zstdName = 'zstd.wasm';

/** sqlite3 searches for its addon in a dozen folders of node_modules; in a bundle there is one place, beside the file. */
const addonBesideBundle: Plugin = {
  name: 'addon-beside-bundle',
  setup({ onLoad, onResolve }) {
    onLoad({ filter: /[/\\]sqlite3[/\\]lib[/\\]sqlite3-binding\.js$/ }, () => ({
      contents: `module.exports = require('./${addonName}');`,
      loader: 'js',
    }));
    onResolve({ filter: /\.node$/ }, ({ path }) => ({ path, external: true }));
  },
};

/** The index of undici loads all of it: fetch, caches, mocks, WebSocket. This one has what http-dispatcher.ts and folder-offers.ts import. */
const undiciInParts: Plugin = {
  name: 'undici-in-parts',
  setup({ onLoad }) {
    onLoad({ filter: /[/\\]undici[/\\]index\.js$/ }, () => ({
      contents: `
        Object.assign(require('./lib/dispatcher/dispatcher').prototype, require('./lib/api'));
        exports.Agent = require('./lib/dispatcher/agent');
        exports.Pool = require('./lib/dispatcher/pool');
        exports.buildConnector = require('./lib/core/connect');
        exports.EnvHttpProxyAgent = require('./lib/dispatcher/env-http-proxy-agent');`,
      loader: 'js',
    }));
  },
};

/** What fastify requires only for JSON schemas and for its test client; the agent has neither. */
const neverLoaded = ['@fastify/ajv-compiler', '@fastify/fast-json-stringify-compiler', 'light-my-request'];

// CommonJS packages inside the bundle call require for node:* modules and the addon.
const banner = [
  "import { createRequire as createRequireOfBundle } from 'node:module';",
  'const require = createRequireOfBundle(import.meta.url);',
].join('\n');

const bundleOne = async (projectDir: string, entry: string, outfile: string): Promise<void> => {
  await build({
    absWorkingDir: projectDir,
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    // Names stay as they are: stack traces are what a technician sends us.
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: 'none',
    banner: { js: banner },
    external: neverLoaded,
    plugins: [addonBesideBundle, undiciInParts],
    logLevel: 'silent',
  });
};

/** By rename: a running daemon keeps the file that it has mapped. */
const copyBeside = async (from: string, to: string): Promise<void> => {
  await copyFile(from, `${to}.part`);
  await rename(`${to}.part`, to);
};

/** Writes otad.mjs, otad-boot.mjs, otactl.mjs, the addon and libzstd into `outDir`. */
export const bundleAgent = async ({ projectDir, outDir }: BundleOptions): Promise<void> => {
  await mkdir(outDir, { recursive: true });
  await Promise.all([
    bundleOne(projectDir, 'agent/main.ts', join(outDir, 'otad.mjs')),
    bundleOne(projectDir, 'agent/otad-boot.ts', join(outDir, 'otad-boot.mjs')),
    bundleOne(projectDir, 'agent/otactl.ts', join(outDir, 'otactl.mjs')),
  ]);
  await copyBeside(join(projectDir, 'node_modules/sqlite3/build/Release', addonName), join(outDir, addonName));
  await copyBeside(join(projectDir, 'node_modules/@bokuweb/zstd-wasm/dist/common', zstdName), join(outDir, zstdName));
};
