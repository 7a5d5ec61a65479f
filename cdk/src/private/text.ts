import { Duration, Token } from 'aws-cdk-lib';

/** A value for a message: repeated only where it is a plain word, since it could be the text of a secret. */
export function shown(value: unknown): string {
  const text = String(value);
  if (/^[A-Za-z0-9_.*-]{1,63}$/.test(text)) return text;
  return `(${Buffer.byteLength(text)} bytes, not shown)`;
}

/** Words that are the values of an enumeration. */
export function oneOf(words: string[]): string {
  const quoted = words.map((word) => `\`${word}\``);
  return `${quoted.slice(0, -1).join(', ')} or ${quoted[quoted.length - 1]}`;
}

/** What is wrong with a number. */
export function numberProblem(
  name: string,
  value: unknown,
  lowest: number,
  highest: number,
  expected: string,
): string | undefined {
  if (value === undefined || Token.isUnresolved(value)) return undefined;
  if (Number.isInteger(value) && (value as number) >= lowest && (value as number) <= highest) return undefined;
  return `\`${name}\` is \`${shown(value)}\`: it must be ${expected} from ${lowest} to ${highest}`;
}

/** A duration in seconds, whole or not; nothing where it is not known yet. */
export function seconds(duration: Duration | undefined): number | undefined {
  return duration === undefined || duration.isUnresolved() ? undefined : duration.toSeconds({ integral: false });
}
