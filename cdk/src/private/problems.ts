import { Duration, Token } from 'aws-cdk-lib';
import * as rds from 'aws-cdk-lib/aws-rds';
import { IConstruct } from 'constructs';
import { ExtensionOptions, ExtensionVersion } from '../extension-version';
import { DatabaseAuthentication, DowngradePolicy, ExtensionsRemovalPolicy, PostgresExtensionsProps, SslMode } from '../extensions';
import { numberProblem, oneOf, seconds, shown } from './text';

/** The longest name that PostgreSQL does not cut, in bytes. */
const MAX_NAME = 63;
/** Control characters, which no name has. */
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/** Everything that is wrong with the properties of `PostgresExtensions`. What CloudFormation gives, the function checks. */
export function problems(props: PostgresExtensionsProps): string[] {
  return [
    ...target(props),
    ...credentials(props),
    ...choices(props),
    ...values(props),
    ...extensions(props),
  ];
}

/** What is wrong with the time that CloudFormation shall wait. */
export function serviceTimeoutProblem(serviceTimeout: Duration | undefined): string | undefined {
  return numberProblem('serviceTimeout', seconds(serviceTimeout), 1, 3600, 'a number of seconds');
}

function isKnown<T>(value: T | undefined | null): value is T {
  return value !== undefined && value !== null && !Token.isUnresolved(value);
}

function target(props: PostgresExtensionsProps): string[] {
  const { cluster, instance, host, port, secret } = props;
  const database: IConstruct | undefined = cluster ?? instance;
  const found: string[] = [];
  const given = Object.entries({ cluster, instance, host }).filter(([, value]) => value !== undefined);
  if (given.length > 1) {
    const names = given.map(([name]) => `\`${name}\``).join(' and ');
    found.push(`${names} are given: give one of them, a construct reconciles one server`);
  }
  if (given.length === 0 && !secret) {
    found.push('no server is given: give `cluster`, `instance`, `host`, or a `secret` that names the host');
  }
  if (isKnown(host) && !/^[A-Za-z0-9._:-]{1,253}$/.test(host)) {
    found.push('`host` must be the DNS name or the address of a server');
  }
  found.push(...listed(numberProblem('port', port, 1, 65535, 'a port number')));
  if (port !== undefined && (cluster || instance)) {
    found.push('`port` goes with `host`: leave it out, the port is the database\'s own');
  }
  for (const [name, database] of Object.entries({ cluster, instance })) {
    const family = database?.engine?.engineFamily;
    if (family !== undefined && family !== 'POSTGRESQL') {
      found.push(`\`${name}\` has the engine \`${shown(database?.engine?.engineType)}\`: it must be PostgreSQL`);
    }
  }
  if (props.provider && (props.vpc || props.vpcSubnets)) {
    found.push('`vpc` and `vpcSubnets` are of a new provider: leave them out where `provider` is given');
  }
  if (!props.provider && !props.vpc && !database && (host ?? secret)) {
    found.push(
      'it is not known where the server can be reached from: give the `vpc`, or a `provider`; ' +
        '`new PostgresExtensionsProvider(this, id)` has no VPC',
    );
  }
  if (!props.provider && !props.vpc && database && !(database as { vpc?: unknown }).vpc) {
    found.push('the VPC of an imported database is not known: give the `vpc`, or a `provider`');
  }
  return found;
}

function credentials(props: PostgresExtensionsProps): string[] {
  const { authentication, cluster, instance, secret, sslMode, username } = props;
  const database = cluster ?? instance;
  const found: string[] = [];
  if (isKnown(username) && CONTROL.test(username)) found.push('`username` must be a name without control characters');
  if (authentication === DatabaseAuthentication.IAM) {
    if (username === undefined) {
      found.push('`username` is missing: DatabaseAuthentication.IAM needs the database role to log in as');
    }
    if (isKnown(username) && /[*?]|\$\{/.test(username)) {
      // IAM would allow other roles too, the master user among them.
      found.push('`username` has `*`, `?` or `${`, which mean other names in a policy: give a role without them');
    }
    if (sslMode === SslMode.DISABLE) {
      found.push('DatabaseAuthentication.IAM needs TLS: leave SslMode.DISABLE out');
    }
    const resource = cluster?.node.defaultChild;
    if (resource instanceof rds.CfnDBCluster && !resource.enableIamDatabaseAuthentication) {
      found.push('`cluster` does not have IAM authentication: give it `iamAuthentication: true`');
    }
    return found;
  }
  const own = (database as { secret?: unknown } | undefined)?.secret;
  if (!secret && !own && (database || props.host)) {
    found.push(
      '`secret` is missing: give the secret with the credentials, or use DatabaseAuthentication.IAM' +
        (database ? '; the database has none of its own' : ''),
    );
  }
  if (sslMode === SslMode.DISABLE && (database || props.host || props.port !== undefined)) {
    found.push(
      'SslMode.DISABLE needs the host and the port in the secret, since a password that goes where the template says ' +
        'needs TLS: leave `sslMode` out, or give the `secret` alone',
    );
  }
  return found;
}

function choices(props: PostgresExtensionsProps): string[] {
  const enumerations: [keyof PostgresExtensionsProps, Record<string, string>, string][] = [
    ['authentication', DatabaseAuthentication, 'DatabaseAuthentication'],
    ['removalPolicy', ExtensionsRemovalPolicy, 'ExtensionsRemovalPolicy'],
    ['downgradePolicy', DowngradePolicy, 'DowngradePolicy'],
    ['sslMode', SslMode, 'SslMode'],
  ];
  return enumerations.flatMap(([name, enumeration, type]) => {
    const value = props[name];
    if (!isKnown(value) || Object.values(enumeration).includes(value as string)) return [];
    const words = oneOf(Object.keys(enumeration).map((key) => `${type}.${key}`));
    return [`\`${name}\` is \`${shown(value)}\`: use ${words}`];
  });
}

function values(props: PostgresExtensionsProps): string[] {
  const found = listed(serviceTimeoutProblem(props.serviceTimeout));
  const { databases, sslRootCert } = props;
  if (isKnown(databases) && !Array.isArray(databases)) {
    found.push("`databases` must be a list, such as `['app']`");
  } else if (isKnown(databases)) {
    if (databases.length === 0) found.push('`databases` is an empty list: name one or more, or give `[\'*\']`');
    if (databases.includes('*') && databases.length > 1) {
      found.push('`databases` must be either `*`, which is every database, or names');
    }
    if (databases.some((name) => !name || (isKnown(name) && CONTROL.test(name)))) {
      found.push('`databases` must be names without control characters');
    }
  }
  if (isKnown(sslRootCert) && !sslRootCert.includes('-----BEGIN CERTIFICATE-----')) {
    found.push('`sslRootCert` must be one or more certificates as PEM text, with their line breaks');
  }
  return found;
}

function extensions(props: PostgresExtensionsProps): string[] {
  if (props.extensions === undefined) {
    if (props.extensionsFrom) return [];
    return ['`extensions` is missing: give a map of extension names to versions; with `extensionsFrom` it may be absent'];
  }
  if (!isKnown(props.extensions)) return [];
  const found: string[] = [];
  const spellings = new Map<string, string>();
  for (const [name, entry] of Object.entries(props.extensions)) {
    if (!Token.isUnresolved(name)) {
      const other = spellings.get(name.toLowerCase());
      if (other !== undefined) {
        found.push(`\`${shown(other)}\` and \`${shown(name)}\` mean the same extension: name it once`);
      }
      spellings.set(name.toLowerCase(), name);
      if (name === '' || name.includes('\0')) found.push('`extensions` has a key that is no name of an extension');
    }
    found.push(...extension(name, entry));
  }
  return found;
}

function extension(name: string, entry: string | ExtensionVersion | ExtensionOptions): string[] {
  if (typeof entry !== 'object' || entry === null || entry instanceof ExtensionVersion || Token.isUnresolved(entry)) {
    return version(name, entry);
  }
  if (Array.isArray(entry)) return version(name, entry);
  const found = Object.keys(entry)
    .filter((key) => key !== 'version' && key !== 'schema')
    .map((key) => `unknown key \`${shown(key)}\` in \`extensions.${shown(name)}\`: use \`version\` and \`schema\``);
  if (entry.version !== undefined) found.push(...version(name, entry.version));
  if (Object.keys(entry).length === 0) {
    // In Python, jsii leaves out keys that it does not know, such as `Version`.
    found.push(`\`${shown(name)}\` has neither \`version\` nor \`schema\`: give one of them, or ExtensionVersion.ANY`);
  }
  found.push(...schema(name, entry));
  return found;
}

function version(key: string, given: unknown): string[] {
  const text = given instanceof ExtensionVersion ? given.value : given;
  const name = shown(key);
  if (Token.isUnresolved(text)) return [];
  if (typeof text === 'number') {
    return [`the version of \`${name}\` is a number, which has lost its zeros (\`1.10\` became \`1.1\`): put it in quotes`];
  }
  if (typeof text !== 'string') {
    return [`the version of \`${name}\` must be text, an ExtensionVersion, or \`version\` and \`schema\``];
  }
  if (key === '*') {
    if (['', 'any', 'latest'].includes(text)) return [];
    return ['the version of `*` must be ExtensionVersion.LATEST (each to its default version) or ANY (each as it is)'];
  }
  if (text === '*') {
    return [
      `the version of \`${name}\` is \`*\`, which is ambiguous: use ExtensionVersion.ANY (what is there, else the ` +
        'default) or LATEST',
    ];
  }
  if (text.slice(0, -1).includes('*')) {
    return [`the version of \`${name}\` is \`${shown(text)}\`: a \`*\` may stand at the end only, as in \`3.4.*\``];
  }
  if (text.includes('\0')) return [`the version of \`${name}\` has control characters: use the server's spelling`];
  return [];
}

function schema(key: string, entry: ExtensionOptions): string[] {
  const name = shown(key);
  const { schema: given, version: wanted } = entry;
  if (given === undefined || given === null || given === '') return [];
  if (key === '*') return ['`*` has a `schema`: leave it out, extensions stay where they are'];
  const found: string[] = [];
  if (wanted === 'absent' || (wanted instanceof ExtensionVersion && wanted.value === 'absent')) {
    found.push(`\`${name}\` is wanted \`absent\` and has a \`schema\`: leave that out`);
  }
  if (Token.isUnresolved(given)) return found;
  if (typeof given !== 'string' || given.includes('\0')) {
    found.push(`the schema of \`${name}\` must be the name of a schema`);
  } else if (Buffer.byteLength(given) > MAX_NAME) {
    found.push(
      `the schema of \`${name}\` has a name of ${Buffer.byteLength(given)} bytes: PostgreSQL allows ${MAX_NAME}, please ` +
        'shorten it',
    );
  } else if (given.startsWith('pg_') && given !== 'pg_catalog') {
    found.push(`the schema of \`${name}\` is \`${shown(given)}\`: PostgreSQL keeps names that start with \`pg_\` for itself`);
  }
  return found;
}

function listed(problem: string | undefined): string[] {
  return problem === undefined ? [] : [problem];
}
