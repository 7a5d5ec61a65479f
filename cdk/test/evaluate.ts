/** What CloudFormation makes of a template, as far as the tests need it. */

export const ACCOUNT = '111122223333';
const PSEUDO: Record<string, unknown> = {
  'AWS::AccountId': ACCOUNT,
  'AWS::Partition': 'aws',
  'AWS::Region': 'eu-central-1',
  'AWS::StackName': 'stack',
  'AWS::URLSuffix': 'amazonaws.com',
};
const NOTHING = Symbol('AWS::NoValue');

export interface Scope {
  /** Of parameters. */
  readonly values?: Record<string, unknown>;
  readonly conditions?: Record<string, unknown>;
  /** What a resource is called in the comparison. */
  readonly name: (logicalId: string) => string;
}

/** A value of a template without functions. A reference to a resource becomes text such as `<LogGroup.Arn>`. */
export function evaluate(node: unknown, scope: Scope): unknown {
  const value = inner(node, scope);
  return value === NOTHING ? undefined : value;
}

function inner(node: unknown, scope: Scope): unknown {
  if (Array.isArray(node)) return node.map((element) => inner(element, scope)).filter((element) => element !== NOTHING);
  if (typeof node !== 'object' || node === null) return node;
  const entries = Object.entries(node);
  const [name, argument] = entries[0] ?? [];
  if (entries.length === 1 && name !== undefined && (name === 'Ref' || name.startsWith('Fn::'))) {
    return call(name, argument, scope);
  }
  return Object.fromEntries(
    entries.map(([key, value]) => [key, inner(value, scope)]).filter(([, value]) => value !== NOTHING),
  );
}

function call(name: string, argument: unknown, scope: Scope): unknown {
  switch (name) {
    case 'Ref':
      return reference(argument as string, scope);
    case 'Fn::GetAtt': {
      const [id, attribute] = typeof argument === 'string' ? argument.split('.') : (argument as string[]);
      return `<${scope.name(id)}.${attribute}>`;
    }
    case 'Fn::Sub':
      return (argument as string).replace(/\$\{([^}]+)\}/g, (_, id) => String(reference(id, scope)));
    case 'Fn::Join': {
      const [separator, parts] = argument as [string, unknown];
      return ([] as unknown[]).concat(inner(parts, scope)).join(separator);
    }
    case 'Fn::If': {
      const [condition, yes, no] = argument as [string, unknown, unknown];
      return inner(inner(scope.conditions?.[condition], scope) ? yes : no, scope);
    }
    case 'Fn::Equals': {
      const [one, other] = inner(argument, scope) as unknown[];
      return String(one) === String(other);
    }
    case 'Fn::Not':
      return !(inner(argument, scope) as unknown[])[0];
    case 'Fn::Or':
      return (inner(argument, scope) as unknown[]).some(Boolean);
    default:
      throw new Error(`the test does not know ${name}`);
  }
}

function reference(id: string, scope: Scope): unknown {
  if (id === 'AWS::NoValue') return NOTHING;
  if (id in PSEUDO) return PSEUDO[id];
  return scope.values && id in scope.values ? scope.values[id] : `<${scope.name(id)}>`;
}
