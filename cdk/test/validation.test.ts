import { App, CfnParameter, Duration, Fn, RemovalPolicy, Stack, Token } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as rds from 'aws-cdk-lib/aws-rds';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import {
  DatabaseAuthentication,
  ExtensionVersion,
  PostgresExtensions,
  PostgresExtensionsProps,
  PostgresExtensionsProvider,
  PostgresExtensionsProviderProps,
  SslMode,
} from 'cfn-postgres-extensions';
import { cluster, instance, vpcOf } from './support';

/** What is refused, without the constructs' paths. */
function refused(build: (stack: Stack) => void): string[] {
  const app = new App();
  const stack = new Stack(app, 'Stack');
  build(stack);
  try {
    app.synth();
  } catch (error) {
    return [...(error as Error).message.matchAll(/^ *\[Stack\/[^\]]*\] (.*)$/gm)].map(([, problem]) => problem);
  }
  return [];
}

const HOST = (stack: Stack) => ({
  host: 'db.example.com',
  vpc: vpcOf(stack),
  secret: secretsmanager.Secret.fromSecretNameV2(stack, 'Secret', 'app'),
});

/** What is refused of properties that TypeScript would refuse too, beside a server that is right. */
function refusedOf(props: Record<string, unknown>): string[] {
  return refused((stack) => new PostgresExtensions(stack, 'Extensions', { ...HOST(stack), ...props } as PostgresExtensionsProps));
}

const LONG = 'x'.repeat(64);

test.each<[string, Record<string, unknown>, string]>([
  [
    'a version that is a number',
    { extensions: { hstore: 1.1 } },
    'the version of `hstore` is a number, which has lost its zeros (`1.10` became `1.1`): put it in quotes',
  ],
  [
    'a version in options that is a number',
    { extensions: { hstore: { version: 1.1 } } },
    'the version of `hstore` is a number, which has lost its zeros (`1.10` became `1.1`): put it in quotes',
  ],
  [
    'a version that is a list',
    { extensions: { hstore: ['1.8'] } },
    'the version of `hstore` must be text, an ExtensionVersion, or `version` and `schema`',
  ],
  [
    'a version that is null',
    { extensions: { hstore: null } },
    'the version of `hstore` must be text, an ExtensionVersion, or `version` and `schema`',
  ],
  [
    'a bare *',
    { extensions: { hstore: '*' } },
    'the version of `hstore` is `*`, which is ambiguous: use ExtensionVersion.ANY (what is there, else the default) or LATEST',
  ],
  [
    'a bare * as a pattern',
    { extensions: { hstore: ExtensionVersion.matching('*') } },
    'the version of `hstore` is `*`, which is ambiguous: use ExtensionVersion.ANY (what is there, else the default) or LATEST',
  ],
  [
    'a * that is not at the end',
    { extensions: { hstore: '1.*.2' } },
    'the version of `hstore` is `1.*.2`: a `*` may stand at the end only, as in `3.4.*`',
  ],
  [
    'an exact version of every other extension',
    { extensions: { '*': '1.0' } },
    'the version of `*` must be ExtensionVersion.LATEST (each to its default version) or ANY (each as it is)',
  ],
  [
    'a schema for every other extension',
    { extensions: { '*': { version: 'latest', schema: 'x' } } },
    '`*` has a `schema`: leave it out, extensions stay where they are',
  ],
  [
    'two spellings of one name',
    { extensions: { PostGIS: 'any', postgis: 'any' } },
    '`PostGIS` and `postgis` mean the same extension: name it once',
  ],
  ['no name', { extensions: { '': 'any' } }, '`extensions` has a key that is no name of an extension'],
  [
    'a schema beside absent',
    { extensions: { hstore: { version: ExtensionVersion.ABSENT, schema: 'x' } } },
    '`hstore` is wanted `absent` and has a `schema`: leave that out',
  ],
  [
    'a schema that is too long',
    { extensions: { hstore: { schema: LONG } } },
    'the schema of `hstore` has a name of 64 bytes: PostgreSQL allows 63, please shorten it',
  ],
  [
    'a schema of PostgreSQL',
    { extensions: { hstore: { schema: 'pg_mine' } } },
    'the schema of `hstore` is `pg_mine`: PostgreSQL keeps names that start with `pg_` for itself',
  ],
  ['a schema that is no text', { extensions: { hstore: { schema: 1 } } }, 'the schema of `hstore` must be the name of a schema'],
  [
    'an unknown key',
    { extensions: { hstore: { Version: '1.8' } } },
    'unknown key `Version` in `extensions.hstore`: use `version` and `schema`',
  ],
  [
    'an entry without a key',
    { extensions: { hstore: {} } },
    '`hstore` has neither `version` nor `schema`: give one of them, or ExtensionVersion.ANY',
  ],
  [
    'no extensions',
    { extensions: undefined },
    '`extensions` is missing: give a map of extension names to versions; with `extensionsFrom` it may be absent',
  ],
  [
    "the CDK's removal policy",
    { removalPolicy: RemovalPolicy.DESTROY },
    '`removalPolicy` is `destroy`: use `ExtensionsRemovalPolicy.RETAIN`, `ExtensionsRemovalPolicy.DROP` or ' +
      '`ExtensionsRemovalPolicy.DROP_CASCADE`',
  ],
  ['an unknown policy', { downgradePolicy: 'keep' }, '`downgradePolicy` is `keep`: use `DowngradePolicy.FAIL` or `DowngradePolicy.KEEP`'],
  [
    'an unknown mode',
    { sslMode: 'my secret' },
    '`sslMode` is `(9 bytes, not shown)`: use `SslMode.VERIFY_FULL`, `SslMode.VERIFY_CA`, `SslMode.REQUIRE` or `SslMode.DISABLE`',
  ],
  [
    'an unknown authentication',
    { authentication: 'iam' },
    '`authentication` is `iam`: use `DatabaseAuthentication.PASSWORD` or `DatabaseAuthentication.IAM`',
  ],
  [
    'a password without TLS',
    { sslMode: SslMode.DISABLE },
    'SslMode.DISABLE needs the host and the port in the secret, since a password that goes where the template says needs ' +
      'TLS: leave `sslMode` out, or give the `secret` alone',
  ],
  [
    'IAM without TLS',
    { sslMode: SslMode.DISABLE, authentication: DatabaseAuthentication.IAM, username: 'x' },
    'DatabaseAuthentication.IAM needs TLS: leave SslMode.DISABLE out',
  ],
  [
    'IAM without a role',
    { authentication: DatabaseAuthentication.IAM },
    '`username` is missing: DatabaseAuthentication.IAM needs the database role to log in as',
  ],
  ...['*', 'deploy?', '${aws:username}'].map((username): [string, Record<string, unknown>, string] => [
    `a role of IAM called ${username}`,
    { authentication: DatabaseAuthentication.IAM, username },
    '`username` has `*`, `?` or `${`, which mean other names in a policy: give a role without them',
  ]),
  ['a role with a line break', { username: 'a\nb' }, '`username` must be a name without control characters'],
  ['a URL as host', { host: 'postgres://db' }, '`host` must be the DNS name or the address of a server'],
  ['a port out of range', { port: 65536 }, '`port` is `65536`: it must be a port number from 1 to 65535'],
  ['one database that is no list', { databases: 'app' }, "`databases` must be a list, such as `['app']`"],
  ['an empty list of databases', { databases: [] }, "`databases` is an empty list: name one or more, or give `['*']`"],
  ['every database and one more', { databases: ['*', 'app'] }, '`databases` must be either `*`, which is every database, or names'],
  ['a database without a name', { databases: [''] }, '`databases` must be names without control characters'],
  ['no PEM', { sslRootCert: 'x' }, '`sslRootCert` must be one or more certificates as PEM text, with their line breaks'],
  [
    'a timeout over an hour',
    { serviceTimeout: Duration.hours(2) },
    '`serviceTimeout` is `7200`: it must be a number of seconds from 1 to 3600',
  ],
  [
    'a timeout of half a second',
    { serviceTimeout: Duration.millis(500) },
    '`serviceTimeout` is `0.5`: it must be a number of seconds from 1 to 3600',
  ],
  ['no secret', { secret: undefined }, '`secret` is missing: give the secret with the credentials, or use DatabaseAuthentication.IAM'],
  [
    'no server',
    { host: undefined, secret: undefined },
    'no server is given: give `cluster`, `instance`, `host`, or a `secret` that names the host',
  ],
  [
    'no network',
    { vpc: undefined },
    'it is not known where the server can be reached from: give the `vpc`, or a `provider`; ' +
      '`new PostgresExtensionsProvider(this, id)` has no VPC',
  ],
])('%s is refused', (_, props, problem) => {
  expect(refusedOf({ extensions: {}, ...props })).toEqual([problem]);
});

test('a property that a subclass adds is not refused', () => {
  expect(refusedOf({ extensions: {}, own: 1 })).toEqual([]);
});

test('a version with a * is not exact', () => {
  expect(() => ExtensionVersion.exact('3.*')).toThrow(
    'ExtensionVersion.exact has `3.*`: a version with a `*` is ExtensionVersion.matching',
  );
});

test('all problems come at once', () => {
  expect(refusedOf({ extensions: { a: 1.1, b: '*' }, port: 0, databases: [] })).toHaveLength(4);
});

test('what is not known before the deployment is not refused', () => {
  const problems = refused((stack) => {
    const text = new CfnParameter(stack, 'Text').valueAsString;
    const list = new CfnParameter(stack, 'List', { type: 'CommaDelimitedList' }).valueAsList;
    const number = Token.asNumber(Fn.ref('Number'));
    new CfnParameter(stack, 'Number', { type: 'Number' });
    new PostgresExtensions(stack, 'Extensions', {
      ...HOST(stack),
      host: text,
      port: number,
      username: text,
      databases: list,
      sslRootCert: text,
      removalPolicy: text as never,
      downgradePolicy: text as never,
      sslMode: text as never,
      authentication: text as never,
      serviceTimeout: Duration.seconds(number),
      trigger: text,
      extensions: { a: text, b: { version: text, schema: text } },
    });
  });
  expect(problems).toEqual([]);
});

test('everything that is right is accepted', () => {
  const versions = ['3.4.3', '', 'any', 'latest', 'absent', '3.4.*', '1.4-1', 'v4', ExtensionVersion.exact('0')];
  const entries = versions.flatMap((version, index) => [
    [`text${index}`, version],
    [`options${index}`, { version }],
  ]);
  const extensions = { ...Object.fromEntries(entries), '*': ExtensionVersion.LATEST, moved: { schema: 'pg_catalog' } };
  expect(refusedOf({ extensions, databases: ['*'] })).toEqual([]);
  expect(refusedOf({ extensions: { '*': 'any' } })).toEqual([]);
});

test('a construct reconciles one server', () => {
  const problems = refused((stack) => {
    const one = cluster(stack);
    const other = instance(stack);
    new PostgresExtensions(stack, 'Extensions', { cluster: one, instance: other, host: 'x', port: 1, extensions: {} });
  });
  expect(problems).toEqual([
    '`cluster` and `instance` and `host` are given: give one of them, a construct reconciles one server',
    "`port` goes with `host`: leave it out, the port is the database's own",
  ]);
});

test('a database of MySQL is refused', () => {
  const problems = refused((stack) => {
    const engine = rds.DatabaseClusterEngine.auroraMysql({ version: rds.AuroraMysqlEngineVersion.VER_3_08_0 });
    new PostgresExtensions(stack, 'Extensions', { cluster: cluster(stack, { engine }), extensions: {} });
  });
  expect(problems).toEqual(['`cluster` has the engine `aurora-mysql`: it must be PostgreSQL']);
});

test('IAM authentication must be possible in the database', () => {
  const authentication = DatabaseAuthentication.IAM;
  const common = { authentication, username: 'deployer', extensions: {} };
  expect(refused((stack) => new PostgresExtensions(stack, 'Extensions', { ...common, cluster: cluster(stack) }))).toEqual([
    '`cluster` does not have IAM authentication: give it `iamAuthentication: true`',
  ]);
  const without = (stack: Stack) => instance(stack, { iamAuthentication: false });
  expect(refused((stack) => new PostgresExtensions(stack, 'Extensions', { ...common, instance: without(stack) }))).toEqual([
    '`authentication`: Cannot grant connect when IAM authentication is disabled',
  ]);
});

test('an imported cluster has what is needed', () => {
  const problems = refused((stack) => {
    const imported = rds.DatabaseCluster.fromDatabaseClusterAttributes(stack, 'Imported', { clusterIdentifier: 'app' });
    new PostgresExtensions(stack, 'Extensions', {
      cluster: imported,
      authentication: DatabaseAuthentication.IAM,
      username: 'deployer',
      extensions: {},
    });
  });
  expect(problems).toEqual([
    'the VPC of an imported database is not known: give the `vpc`, or a `provider`',
    expect.stringContaining('`cluster`: Cannot access `clusterEndpoint` of an imported cluster'),
    expect.stringContaining('`authentication`: Cannot access `clusterResourceIdentifier` of an imported cluster'),
  ]);
});

test('a new provider belongs to the construct or to its user', () => {
  const problems = refused((stack) => {
    const provider = new PostgresExtensionsProvider(stack, 'Provider');
    new PostgresExtensions(stack, 'Extensions', { ...HOST(stack), provider, extensions: {} });
  });
  expect(problems).toEqual(['`vpc` and `vpcSubnets` are of a new provider: leave them out where `provider` is given']);
});

test.each<[string, PostgresExtensionsProviderProps, string]>([
  ...['x'.repeat(55), 'post.gres', ''].map((functionName): [string, PostgresExtensionsProviderProps, string] => [
    `the name \`${functionName}\``,
    { functionName },
    '`functionName` must be 1 to 54 letters, digits, `-` and `_`: Lambda allows 64, with `-responder` at the end',
  ]),
  ['too little memory', { memorySize: 64 }, '`memorySize` is `64`: it must be a number of MB from 128 to 10240'],
  ['a timeout that is too short', { timeout: Duration.seconds(3) }, '`timeout` is `3`: it must be a number of seconds from 30 to 900'],
  ['no request at a time', { reservedConcurrency: 0 }, '`reservedConcurrency` is `0`: it must be a number of requests from 1 to 99999'],
  ['a host that is none', { allowedHosts: ['a b'] }, '`allowedHosts` must be host names, or ends of host names that begin with a dot'],
  [
    'a word of the list as a host',
    { allowedHosts: ['only:db.example.com'] },
    '`allowedHosts` must be host names, or ends of host names that begin with a dot',
  ],
  [
    'no host at all',
    { allowedHosts: [], onlyAllowedHosts: true },
    '`onlyAllowedHosts` allows no host: give `allowedHosts`, or leave them out for those of RDS',
  ],
  [
    'a path without a layer',
    { sslRootCertPath: '/opt/x' },
    '`sslRootCertPath` is the file of a layer: give `sslRootCertLayer`, or leave the path out',
  ],
])('a provider with %s is refused', (_, props, problem) => {
  expect(refused((stack) => new PostgresExtensionsProvider(stack, 'Provider', props))).toEqual([problem]);
});

test('an architecture for which there is no function is refused', () => {
  const build = () => {
    const architecture = lambda.Architecture.custom('riscv');
    new PostgresExtensionsProvider(new Stack(new App(), 'Stack'), 'Provider', { architecture });
  };
  expect(build).toThrow(
    'Stack/Provider: there is no function for the architecture `riscv`: use Architecture.ARM_64 or Architecture.X86_64',
  );
});
