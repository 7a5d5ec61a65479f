import { App, CfnOutput, Duration, Stack } from 'aws-cdk-lib';
import { Annotations, Match, Template } from 'aws-cdk-lib/assertions';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as rds from 'aws-cdk-lib/aws-rds';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import {
  DatabaseAuthentication,
  DowngradePolicy,
  ExtensionVersion,
  ExtensionsRemovalPolicy,
  PostgresExtensions,
  PostgresExtensionsProvider,
  SslMode,
} from 'cfn-postgres-extensions';
import { cluster, instance, vpcOf } from './support';

const TYPE = 'Custom::PostgresExtensions';

/** The logical ids of what the one custom resource depends on. */
function dependencies(template: Template): string[] {
  return Object.values(template.findResources(TYPE))[0].DependsOn;
}

/** The one resource of a type with these properties. */
function one(template: Template, type: string, properties: unknown = {}): string {
  const ids = Object.keys(template.findResources(type, { Properties: properties }));
  expect(ids).toHaveLength(1);
  return ids[0];
}

// Else the CDK warns of every reference between stacks.
const REFERENCES = { '@aws-cdk/core:defaultCrossStackReferences': 'strong' };

/** `cdk synth --strict` fails on a warning. */
function noWarnings(stack: Stack): void {
  expect(Annotations.fromStack(stack).findWarning('*', Match.anyValue())).toEqual([]);
}

test('a cluster gives its endpoint and its secret', () => {
  const stack = new Stack(new App(), 'Stack');
  const database = cluster(stack);
  new PostgresExtensions(stack, 'Extensions', { cluster: database, extensions: { postgis: '3.4.3' } });

  const template = Template.fromStack(stack);
  const id = one(template, 'AWS::RDS::DBCluster');
  const attachment = one(template, 'AWS::SecretsManager::SecretTargetAttachment');
  template.hasResourceProperties(TYPE, {
    DBSecret: { Ref: attachment },
    Host: { 'Fn::GetAtt': [id, 'Endpoint.Address'] },
    Port: { 'Fn::GetAtt': [id, 'Endpoint.Port'] },
    PluginsMap: { postgis: '3.4.3' },
  });
  template.hasResourceProperties('AWS::IAM::Policy', {
    PolicyDocument: {
      Statement: [{ Effect: 'Allow', Action: 'secretsmanager:GetSecretValue', Resource: { Ref: attachment } }],
    },
  });
});

test('an instance gives its endpoint and its secret', () => {
  const stack = new Stack(new App(), 'Stack');
  new PostgresExtensions(stack, 'Extensions', { instance: instance(stack), extensions: {} });
  const template = Template.fromStack(stack);
  const id = one(template, 'AWS::RDS::DBInstance');
  template.hasResourceProperties(TYPE, {
    DBSecret: { Ref: one(template, 'AWS::SecretsManager::SecretTargetAttachment') },
    Host: { 'Fn::GetAtt': [id, 'Endpoint.Address'] },
    Port: { 'Fn::GetAtt': [id, 'Endpoint.Port'] },
  });
  expect(dependencies(template)).toContain(id);
});

test('every property arrives', () => {
  const stack = new Stack(new App(), 'Stack');
  const secret = new secretsmanager.Secret(stack, 'Secret');
  const extensionsFrom = new secretsmanager.Secret(stack, 'Other');
  const sslRootCert = '-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n';
  new PostgresExtensions(stack, 'Extensions', {
    provider: new PostgresExtensionsProvider(stack, 'Provider'),
    host: 'db.example.com',
    port: 5433,
    secret,
    extensionsFrom,
    authentication: DatabaseAuthentication.PASSWORD,
    username: 'deployer',
    databases: ['app', 'audit'],
    extensions: {
      exact: ExtensionVersion.exact('1.10'),
      matching: ExtensionVersion.matching('3.4.*'),
      latest: ExtensionVersion.LATEST,
      any: ExtensionVersion.ANY,
      absent: ExtensionVersion.ABSENT,
      text: '1.0',
      options: { version: ExtensionVersion.exact('1.4-1'), schema: 'extensions' },
      schema: { schema: 'extensions' },
      version: { version: '1' },
    },
    removalPolicy: ExtensionsRemovalPolicy.DROP_CASCADE,
    downgradePolicy: DowngradePolicy.KEEP,
    sslMode: SslMode.VERIFY_CA,
    sslRootCert,
    dryRun: true,
    trigger: '2026-11-30',
    serviceTimeout: Duration.minutes(15),
  });
  const template = Template.fromStack(stack);
  expect(Object.values(template.findResources(TYPE))[0].Properties).toEqual({
    ServiceToken: { 'Fn::GetAtt': [one(template, 'AWS::Lambda::Function', { Handler: 'bootstrap' }), 'Arn'] },
    ServiceTimeout: '900',
    DBSecret: { Ref: stack.getLogicalId(secret.node.defaultChild as secretsmanager.CfnSecret) },
    PluginsFrom: { Ref: stack.getLogicalId(extensionsFrom.node.defaultChild as secretsmanager.CfnSecret) },
    PluginsMap: {
      exact: '1.10',
      matching: '3.4.*',
      latest: 'latest',
      any: 'any',
      absent: 'absent',
      text: '1.0',
      options: { Version: '1.4-1', Schema: 'extensions' },
      schema: { Version: 'any', Schema: 'extensions' },
      version: '1',
    },
    Host: 'db.example.com',
    Port: 5433,
    Username: 'deployer',
    Databases: ['app', 'audit'],
    Authentication: 'Password',
    SslMode: 'verify-ca',
    SslRootCert: sslRootCert,
    RemovalPolicy: 'DropCascade',
    DowngradePolicy: 'Keep',
    DryRun: true,
    Trigger: '2026-11-30',
  });
});

test('what is not given is not in the template', () => {
  const stack = new Stack(new App(), 'Stack');
  const provider = new PostgresExtensionsProvider(stack, 'Provider');
  const secret = new secretsmanager.Secret(stack, 'Secret');
  new PostgresExtensions(stack, 'Extensions', { provider, secret, extensions: {} });
  const { Properties } = Object.values(Template.fromStack(stack).findResources(TYPE))[0];
  expect(Object.keys(Properties).sort()).toEqual(['DBSecret', 'PluginsMap', 'ServiceToken']);
});

test('the resource is ordered after the database, the attachment, the rule, the grants and the provider', () => {
  const stack = new Stack(new App(), 'Stack');
  new PostgresExtensions(stack, 'Extensions', { cluster: cluster(stack), extensions: {} });
  const template = Template.fromStack(stack);
  const expected = [
    one(template, 'AWS::RDS::DBCluster'),
    one(template, 'AWS::RDS::DBInstance'),
    one(template, 'AWS::SecretsManager::SecretTargetAttachment'),
    one(template, 'AWS::EC2::SecurityGroupIngress'),
    one(template, 'AWS::IAM::Policy', { PolicyDocument: { Statement: [Match.objectLike({ Effect: 'Allow' })] } }),
    one(template, 'AWS::IAM::Policy', { PolicyDocument: { Statement: [Match.objectLike({ Effect: 'Deny' })] } }),
    one(template, 'AWS::Lambda::EventInvokeConfig', { MaximumRetryAttempts: 0 }),
  ];
  expect(dependencies(template)).toEqual(expect.arrayContaining(expected));
});

test('the security group allows the provider, once', () => {
  const stack = new Stack(new App(), 'Stack');
  const database = cluster(stack);
  for (const id of ['One', 'Other']) new PostgresExtensions(stack, id, { cluster: database, extensions: {} });
  const template = Template.fromStack(stack);
  const rule = one(template, 'AWS::EC2::SecurityGroupIngress');
  template.hasResourceProperties('AWS::EC2::SecurityGroupIngress', {
    FromPort: { 'Fn::GetAtt': [one(template, 'AWS::RDS::DBCluster'), 'Endpoint.Port'] },
  });
  for (const { DependsOn } of Object.values(template.findResources(TYPE))) expect(DependsOn).toContain(rule);
  noWarnings(stack);
});

test('a provider whose security group allows nothing gets an egress rule', () => {
  const stack = new Stack(new App(), 'Stack');
  const vpc = vpcOf(stack);
  const securityGroups = [new ec2.SecurityGroup(stack, 'Group', { vpc, allowAllOutbound: false })];
  const provider = new PostgresExtensionsProvider(stack, 'Provider', { vpc, securityGroups });
  new PostgresExtensions(stack, 'Extensions', { provider, cluster: cluster(stack), extensions: {} });
  const template = Template.fromStack(stack);
  expect(dependencies(template)).toContain(one(template, 'AWS::EC2::SecurityGroupEgress'));
  noWarnings(stack);
});

test('an application may connect to the database and depend on the extensions', () => {
  const stack = new Stack(new App(), 'Stack');
  const database = cluster(stack);
  const extensions = new PostgresExtensions(stack, 'Extensions', { cluster: database, extensions: {} });
  const application = new lambda.Function(stack, 'Application', {
    runtime: lambda.Runtime.NODEJS_22_X,
    handler: 'index.handler',
    code: lambda.Code.fromInline('exports.handler = () => {}'),
    vpc: vpcOf(stack),
  });
  database.connections.allowDefaultPortFrom(application);
  database.secret?.grantRead(application);
  application.node.addDependency(extensions);
  // It refuses a circle.
  const template = Template.fromStack(stack);
  const [{ DependsOn }] = Object.values(template.findResources('AWS::Lambda::Function', { Properties: { Handler: 'index.handler' } }));
  expect(DependsOn).toContain(one(template, TYPE));
});

test('the database may be of another stack', () => {
  const app = new App({ context: REFERENCES });
  const database = cluster(new Stack(app, 'Database'), { iamAuthentication: true });
  const stack = new Stack(app, 'Extensions');
  new PostgresExtensions(stack, 'Extensions', {
    cluster: database,
    extensions: {},
    authentication: DatabaseAuthentication.IAM,
    username: 'deployer',
  });
  const template = Template.fromStack(stack);
  expect(stack.dependencies).toEqual([database.stack]);
  expect(dependencies(template)).toContain(one(template, 'AWS::EC2::SecurityGroupIngress'));
  noWarnings(stack);
  noWarnings(database.stack);
});

test.each([
  { vpc: 'P', provider: 'P', database: 'D', extensions: 'D', rules: 'D' },
  { vpc: 'P', provider: 'P', database: 'D', extensions: 'D', rules: 'D', allowAllOutbound: false },
  { vpc: 'P', provider: 'P', database: 'D', extensions: 'E', rules: 'D' },
  { vpc: 'N', provider: 'P', database: 'D', extensions: 'E', rules: 'D' },
  { vpc: 'D', provider: 'P', database: 'D', extensions: 'E', rules: 'P' },
  { vpc: 'D', provider: 'P', database: 'D', extensions: 'E', rules: 'P', allowAllOutbound: false },
  { vpc: 'D', provider: 'D', database: 'D', extensions: 'E', rules: 'D' },
  { vpc: 'N', provider: undefined, database: 'D', extensions: 'E', rules: 'E' },
])('stacks are no circle: %j', ({ allowAllOutbound = true, ...layout }) => {
  const app = new App({ context: REFERENCES });
  const stackOf = (id: string) => (app.node.tryFindChild(id) as Stack) ?? new Stack(app, id);
  const vpc = vpcOf(stackOf(layout.vpc));
  const providerOf = (stack: Stack) => {
    const securityGroups = [new ec2.SecurityGroup(stack, 'Group', { vpc, allowAllOutbound })];
    return new PostgresExtensionsProvider(stack, 'Provider', { vpc, securityGroups });
  };
  const provider = layout.provider ? providerOf(stackOf(layout.provider)) : undefined;
  const database = cluster(stackOf(layout.database), { vpc });
  const extensions = new PostgresExtensions(stackOf(layout.extensions), 'Extensions', {
    cluster: database,
    provider,
    extensions: {},
  });

  // It refuses a circle of stacks.
  const { stacks } = app.synth();
  const rules = stacks.flatMap(({ template, stackName }) =>
    Object.entries(template.Resources as Record<string, { Type: string }>)
      .filter(([, { Type }]) => ['AWS::EC2::SecurityGroupEgress', 'AWS::EC2::SecurityGroupIngress'].includes(Type))
      .map(([id]) => ({ id, stackName })),
  );
  expect(rules.map(({ stackName }) => stackName)).toEqual(Array(allowAllOutbound ? 1 : 2).fill(layout.rules));
  const own = Stack.of(extensions);
  const { DependsOn } = Object.values(Template.fromStack(own).findResources(TYPE))[0];
  for (const { id, stackName } of rules) {
    // Dependencies on resources of other stacks are those of the stacks.
    if (stackName === own.stackName) expect(DependsOn).toContain(id);
    else expect(own.dependencies).toContain(stackOf(stackName));
  }
  for (const { stackName } of stacks) noWarnings(stackOf(stackName));
});

test('the key of a secret is granted, through Secrets Manager alone', () => {
  const stack = new Stack(new App(), 'Stack');
  const key = new kms.Key(stack, 'Key');
  const credentials = rds.Credentials.fromGeneratedSecret('master', { encryptionKey: key });
  const extensionsFrom = secretsmanager.Secret.fromSecretNameV2(stack, 'Other', 'other');
  new PostgresExtensions(stack, 'Extensions', { cluster: cluster(stack, { credentials }), extensionsFrom });
  const template = Template.fromStack(stack);
  template.hasResourceProperties('AWS::IAM::Policy', {
    PolicyDocument: {
      Statement: [
        Match.objectLike({ Action: 'secretsmanager:GetSecretValue' }),
        {
          Effect: 'Allow',
          Action: 'kms:Decrypt',
          Resource: { 'Fn::GetAtt': [one(template, 'AWS::KMS::Key'), 'Arn'] },
          Condition: {
            StringEquals: {
              'kms:ViaService': {
                'Fn::Join': ['', ['secretsmanager.', { Ref: 'AWS::Region' }, '.', { Ref: 'AWS::URLSuffix' }]],
              },
            },
          },
        },
        {
          Effect: 'Allow',
          Action: 'secretsmanager:GetSecretValue',
          // Secrets Manager adds six characters to a name.
          Resource: { 'Fn::Join': ['', Match.arrayWith([':secret:other-??????'])] },
        },
      ],
    },
  });
});

test('IAM reads no secret, and switches IAM authentication of an instance on', () => {
  const stack = new Stack(new App(), 'Stack');
  new PostgresExtensions(stack, 'Extensions', {
    instance: instance(stack),
    authentication: DatabaseAuthentication.IAM,
    username: 'deployer',
    extensions: {},
  });
  const template = Template.fromStack(stack);
  template.hasResourceProperties('AWS::RDS::DBInstance', { EnableIAMDatabaseAuthentication: true });
  template.hasResourceProperties(TYPE, { DBSecret: Match.absent(), Username: 'deployer', Authentication: 'IAM' });
  template.hasResourceProperties('AWS::IAM::Policy', {
    PolicyDocument: { Statement: [Match.objectLike({ Effect: 'Allow', Action: 'rds-db:connect' })] },
  });
});

test("a user's grant is made before the extensions are reconciled", () => {
  const stack = new Stack(new App(), 'Stack');
  const secret = new secretsmanager.Secret(stack, 'Secret');
  const provider = new PostgresExtensionsProvider(stack, 'Provider');
  const key = new kms.Key(stack, 'Key');
  const extensions = new PostgresExtensions(stack, 'Extensions', { provider, secret, extensions: {} });
  key.grantDecrypt(extensions);
  const template = Template.fromStack(stack);
  const policy = one(template, 'AWS::IAM::Policy');
  expect(JSON.stringify(template.findResources('AWS::IAM::Policy')[policy])).toContain('kms:Decrypt');
  expect(dependencies(template)).toContain(policy);
});

test('attributes are those of the response', () => {
  const stack = new Stack(new App(), 'Stack');
  const extensions = new PostgresExtensions(stack, 'Extensions', {
    cluster: cluster(stack),
    extensions: { PostGIS: '3.4.3', 'uuid-ossp': 'any' },
  });
  const { changed, changes, before, after, serverVersion } = extensions;
  const values = {
    PostGIS: extensions.version('postgis'),
    Uuid: extensions.version('uuid-ossp'),
    ...{ changed, changes, before, after, serverVersion },
  };
  for (const [name, value] of Object.entries(values)) new CfnOutput(stack, name, { value });
  const template = Template.fromStack(stack);
  const attribute = (name: string) => ({ Value: { 'Fn::GetAtt': [one(template, TYPE), name] } });
  template.templateMatches({
    Outputs: {
      PostGIS: attribute('postgis'),
      Uuid: attribute('uuid-ossp'),
      changed: attribute('Changed'),
      changes: attribute('Changes'),
      before: attribute('Before'),
      after: attribute('After'),
      serverVersion: attribute('ServerVersion'),
    },
  });
});

test('the version of an extension that is not named is refused', () => {
  const stack = new Stack(new App(), 'Stack');
  const secret = new secretsmanager.Secret(stack, 'Secret');
  const provider = new PostgresExtensionsProvider(stack, 'Provider');
  const common = { provider, secret };
  const one = new PostgresExtensions(stack, 'One', { ...common, extensions: { hstore: 'any' } });
  expect(() => one.version('postgis')).toThrow(
    'Stack/One: `extensions` does not name `postgis`, so that its version is not known: add it, with ExtensionVersion.ANY ' +
      'where any version will do',
  );
  const all = new PostgresExtensions(stack, 'All', { ...common, extensions: { '*': ExtensionVersion.ANY } });
  expect(stack.resolve(all.version('postgis'))).toEqual({ 'Fn::GetAtt': [expect.any(String), 'postgis'] });
});

test('logical ids stay: another one would be another resource', () => {
  const stack = new Stack(new App(), 'Stack');
  const vpc = ec2.Vpc.fromVpcAttributes(stack, 'Vpc', {
    vpcId: 'vpc-11111111',
    availabilityZones: ['a', 'b'],
    privateSubnetIds: ['subnet-11111111', 'subnet-22222222'],
  });
  const group = new ec2.SecurityGroup(stack, 'Group', { vpc });
  new PostgresExtensions(stack, 'Extensions', { cluster: cluster(stack, { vpc, securityGroups: [group] }), extensions: {} });
  const secret = secretsmanager.Secret.fromSecretNameV2(stack, 'Secret', 'app');
  const provider = new PostgresExtensionsProvider(stack, 'Provider');
  new PostgresExtensions(stack, 'Other', { provider, secret, extensions: {} });
  const ids = Object.keys(Template.fromStack(stack).toJSON().Resources);
  // The others are the database's.
  expect(ids.filter((id) => !/^(Cluster|Group[0-9A-F]+$)/.test(id)).sort()).toEqual([
    'Extensions076C5481',
    'ExtensionsPolicyD235C3D5',
    'GroupfromStackPostgresExtensionsProvider84a39c2cFunctionSecurityGroup0ED482F5IndirectPort4D380752',
    'Other34654A52',
    'OtherPolicyF88CF36D',
    'PostgresExtensionsProvider84a39c2cFunction8D54B735',
    'PostgresExtensionsProvider84a39c2cFunctionEventInvokeConfig463CB113',
    'PostgresExtensionsProvider84a39c2cFunctionSecurityGroupDACB2A54',
    'PostgresExtensionsProvider84a39c2cLogGroupC749426B',
    'PostgresExtensionsProvider84a39c2cNetworkOfCode5A575188',
    'PostgresExtensionsProvider84a39c2cResponder4E1B71F2',
    'PostgresExtensionsProvider84a39c2cResponderEventInvokeConfig0AEBF65D',
    'PostgresExtensionsProvider84a39c2cResponderLogGroup9B2BA55C',
    'PostgresExtensionsProvider84a39c2cResponderRole05D01D1A',
    'PostgresExtensionsProvider84a39c2cRole64BC3D86',
    'ProviderFunction30350776',
    'ProviderFunctionEventInvokeConfig584963E8',
    'ProviderLogGroupFD264F08',
    'ProviderResponder96D9D0F7',
    'ProviderResponderEventInvokeConfig762277A4',
    'ProviderResponderLogGroup8EFA92CF',
    'ProviderResponderRoleE9A17DAC',
    'ProviderRole1DE8EC3B',
  ]);
});
