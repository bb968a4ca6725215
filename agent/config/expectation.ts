// Says in words what a setting may be, from the schema itself: for error messages and for the reference page, so that
// both always agree with what is enforced.

import * as z from 'zod';
import { configSchema } from './schema.ts';

/** The part of a JSON Schema that otad's settings use. */
export interface SchemaNode {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly expected?: string;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly items?: SchemaNode;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly anyOf?: readonly SchemaNode[];
}

export const configJsonSchema = (): SchemaNode => z.toJSONSchema(configSchema, { io: 'input' }) as SchemaNode;

const isNull = (node: SchemaNode): boolean => node.type === 'null';

/** The object schema behind a node, through `null |`, or null where the node is a leaf. */
export const objectOf = (node: SchemaNode): SchemaNode | null =>
  [node, ...(node.anyOf ?? [])].find((candidate) => candidate.properties !== undefined) ?? null;

/** The node at `path`, or null where the schema has no such key. */
export const nodeAt = (root: SchemaNode, path: readonly string[]): SchemaNode | null => {
  let node: SchemaNode | undefined = root;
  for (const key of path) {
    if (node.items !== undefined && /^[0-9]+$/.test(key)) {
      node = node.items;
      continue;
    }
    const properties: Readonly<Record<string, SchemaNode>> = objectOf(node)?.properties ?? {};
    node = Object.hasOwn(properties, key) ? properties[key] : undefined;
    if (node === undefined) return null;
  }
  return node;
};

const count = (min: number | undefined, max: number | undefined): string => {
  if (min !== undefined && max !== undefined) return ` of ${min} to ${max} items`;
  return max === undefined ? '' : ` of at most ${max} items`;
};

/** What the node accepts, as it goes after 'expected'. */
export const expectationOf = (node: SchemaNode): string => {
  if (node.expected !== undefined) return node.expected;
  if (node.anyOf !== undefined) {
    const others = node.anyOf.filter((part) => !isNull(part)).map(expectationOf);
    return [...others, ...(node.anyOf.some(isNull) ? ['null'] : [])].join(', or ');
  }
  if (node.enum !== undefined) return node.enum.map((value) => JSON.stringify(value)).join(' or ');
  if (node.type === 'integer') return `a whole number from ${node.minimum} to ${node.maximum}`;
  if (node.type === 'number') return `a number from ${node.minimum} to ${node.maximum}`;
  if (node.type === 'boolean') return 'true or false';
  if (node.type === 'array') {
    return `a list${count(node.minItems, node.maxItems)}, each ${node.items === undefined ? 'a value' : expectationOf(node.items)}`;
  }
  return node.type === 'string' ? 'a text' : 'an object';
};

/** All settings that are not objects themselves, as dotted keys in the order of the schema. */
export const leaves = (root: SchemaNode, prefix = ''): readonly (readonly [key: string, node: SchemaNode])[] =>
  Object.entries(objectOf(root)?.properties ?? {}).flatMap(([name, node]) => {
    const key = prefix === '' ? name : `${prefix}.${name}`;
    const inner = objectOf(node) === null ? [] : leaves(node, key);
    return node.properties === undefined ? [[key, node] as const, ...inner] : inner;
  });
