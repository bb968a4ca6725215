// The OpenAPI 3.1 document, made from the route table and the zod schemas. Pure.

import * as z from 'zod';
import { type ErrorCode, errorCodes } from '../core/errors.ts';
import { acceptedAnswer, commandRoutes, readRoutes } from './route.ts';
import { errorSchema } from './schema.ts';

type Json = Readonly<Record<string, unknown>>;

export interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  readonly parameters?: readonly Json[];
  readonly requestBody?: Json;
  readonly responses: Readonly<Record<string, Json>>;
}

export interface OpenApiDocument {
  readonly openapi: '3.1.0';
  readonly info: { readonly title: string; readonly version: string; readonly description: string };
  readonly servers: readonly Json[];
  readonly paths: Readonly<Record<string, { readonly get?: Operation; readonly post?: Operation }>>;
  readonly components: { readonly schemas: Readonly<Record<string, Json>> };
}

const titleCase = (name: string): string =>
  name
    .split('-')
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join('');

const jsonSchema = (schema: z.ZodType, io: 'input' | 'output'): Json => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { target: 'draft-2020-12', io });
  return rest;
};

const reference = (name: string): Json => ({ $ref: `#/components/schemas/${name}` });
const jsonContent = (schema: Json): Json => ({ 'application/json': { schema } });

const errorResponses = (codes: readonly ErrorCode[]): Record<string, Json> => {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of codes) {
    const status = errorCodes[code].httpStatus;
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, names]) => [
      String(status),
      { description: names.join(', '), content: jsonContent(reference('Error')) },
    ]),
  );
};

const queryParameters = (query: z.ZodType): Json[] => {
  const { properties } = jsonSchema(query, 'output') as { properties?: Record<string, unknown> };
  return Object.entries(properties ?? {}).map(([name, schema]) => ({ name, in: 'query', required: false, schema }));
};

const textOperation = (operationId: string, summary: string, mediaType: string): Operation => ({
  operationId,
  summary,
  responses: {
    '200': { description: 'OK', content: { [mediaType]: { schema: { type: 'string' } } } },
    ...errorResponses(['FORBIDDEN', 'INTERNAL']),
  },
});

const readOperations = (): OpenApiDocument['paths'] =>
  Object.fromEntries(
    readRoutes.map((route) => [
      route.path,
      {
        get: {
          operationId: route.name,
          summary: route.summary,
          parameters: queryParameters(route.query),
          responses: {
            '200': { description: 'OK', content: jsonContent(reference(titleCase(route.name))) },
            ...errorResponses(['BAD_REQUEST', 'FORBIDDEN', 'INTERNAL']),
          },
        },
      },
    ]),
  );

const commandOperations = (): OpenApiDocument['paths'] =>
  Object.fromEntries(
    commandRoutes.map((route) => [
      route.path,
      {
        post: {
          operationId: route.name,
          summary: route.summary,
          description: 'Control socket only.',
          requestBody: {
            required: !route.body.safeParse({}).success,
            content: jsonContent(jsonSchema(route.body, 'input')),
          },
          responses: {
            '202': { description: 'Accepted: it happens now', content: jsonContent(reference('Accepted')) },
            ...errorResponses(['BAD_REQUEST', 'FORBIDDEN', ...route.errors, 'INTERNAL']),
          },
        },
      },
    ]),
  );

const description = [
  'The API of otad on two unix sockets: status.sock (every local user, read-only) and control.sock (group otad-admin).',
  'An optional loopback TCP port is read-only. A request with an Origin header is refused, so no web page can reach it.',
  'To activate and to reboot are one command, POST /v1/reboot: an activated release that is not booted at once would be tried by any chance power cycle.',
].join(' ');

export const openApiDocument = (agentVersion: string): OpenApiDocument => ({
  openapi: '3.1.0',
  info: { title: 'otad', version: agentVersion, description },
  servers: [{ url: 'http://localhost', description: 'Over /run/otad/status.sock or /run/otad/control.sock' }],
  paths: {
    ...readOperations(),
    '/v1/events': {
      get: {
        ...textOperation(
          'events',
          'Server-sent events: `status` with the body of /v1/status, at once and after every change; a comment as heartbeat.',
          'text/event-stream',
        ),
      },
    },
    '/v1/metrics': { get: textOperation('metrics', 'The state as Prometheus text.', 'text/plain') },
    '/v1/openapi.json': { get: textOperation('openapi', 'This document.', 'application/json') },
    '/': { get: textOperation('page', 'The status as one page for a browser.', 'text/html') },
    ...commandOperations(),
  },
  components: {
    schemas: {
      ...Object.fromEntries(readRoutes.map((route) => [titleCase(route.name), jsonSchema(route.answer, 'output')])),
      Accepted: jsonSchema(acceptedAnswer, 'output'),
      Error: jsonSchema(errorSchema, 'output'),
    },
  },
});
