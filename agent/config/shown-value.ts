// A setting as everybody on the gateway may see it: the status socket is readable by all, so a password in a URL stays out.

const showUrl = (text: string): string => {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) return text;
  const url = new URL(text);
  if (url.password === '') return text;
  url.password = '***';
  return url.href;
};

/** The value at a dotted key of the settings, without passwords. */
export const shownValue = (config: unknown, key: string): unknown => {
  const value = key
    .split('.')
    .reduce((part: unknown, name) => (part as Readonly<Record<string, unknown>>)[name], config);
  const show = (part: unknown): unknown => (typeof part === 'string' ? showUrl(part) : part);
  return Array.isArray(value) ? value.map(show) : show(value);
};
