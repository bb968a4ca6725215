// The kinds of values that settings of several groups have: paths, names, addresses, whole numbers, times. What a regular
// expression does not tell a reader, `expected` says in words.

import * as z from 'zod';
import { nameExpectation, namePattern } from '../core/name.ts';

export const pathSchema = z
  .string()
  .max(4096)
  .regex(/^\/[^\0]*$/)
  .meta({ expected: 'an absolute path' });

export const nameSchema = z.string().regex(namePattern).meta({ expected: nameExpectation });

const isHttpUrl = (text: string): boolean => {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  return (url.protocol === 'https:' || url.protocol === 'http:') && url.search === '' && url.hash === '';
};

export const urlSchema = z
  .string()
  .max(2048)
  .refine(isHttpUrl)
  .meta({ expected: 'an http:// or https:// URL without query or fragment' });

export const whole = (min: number, max: number) => z.int().min(min).max(max);
export const second = 1000;
export const minute = 60 * second;
export const hour = 60 * minute;
export const day = 24 * hour;
