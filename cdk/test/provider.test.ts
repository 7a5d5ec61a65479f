import * as fs from 'fs';
import * as path from 'path';
import { App, Duration, Fn, Stack } from 'aws-cdk-lib';
import { Annotations, Match, Template } from 'aws-cdk-lib/assertions';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import {
  DatabaseAuthentication,
  PostgresExtensions,
  PostgresExtensionsProvider,
  PostgresExtensionsProviderProps,
} from 'cfn-postgres-extensions';
import { parse, ScalarTag, CollectionTag } from 'yaml';
import { ACCOUNT, evaluate, Scope } from './evaluate';
import { cluster, vpcOf } from './support';

type Properties = Record<string, any>;
type Resources = Record<string, { Type: string; Properties: Properties }>;

const TAGS = ['Ref', 'GetAtt', 'Sub', 'Join', 'If', 'Equals', 'Not', 'Or'].flatMap((name): (ScalarTag | CollectionTag)[] => {
  const key = name === 'Ref' ? name : `Fn::${name}`;
  const node = (resolve: (value: any) => unknown) => (value: any) => ({ [key]: resolve(value) }) as never;
  const tag = `!${name}`;
  return [
    { tag, resolve: node((text) => text) },
    { tag, collection: 'seq', resolve: node((sequence) => sequence.toJSON()) },
  ];
});
const SOURCE = fs.readFileSync(path.join(__dirname, '..', '..', '..', 'template.yaml'), 'utf8');
const TEMPLATE = parse(SOURCE, { customTags: TAGS }) as Record<string, any>;

/** What both make: functions, roles, log groups, without the names that differ. */
interface Comparison {
  readonly functions: Record<string, Properties>;
  readonly invocations: Record<string, Properties>;
  readonly roles: Record<string, { role: Properties; statements: Properties[] }>;
  readonly logGroups: Record<string, Properties>;
}

/** What template.yaml makes with these parameters. */
function ofTemplate(given: Record<string, unknown>): Comparison {
  const defaults = Object.entries(TEMPLATE.Parameters as Record<string, Properties>).map(([name, parameter]) => [
    name,
    parameter.Default,
  ]);
  const values = { ...Object.fromEntries(defaults), ...given };
  const scope: Scope = { values, conditions: TEMPLATE.Conditions, name: (id) => id };
  const resources = evaluate(TEMPLATE.Resources, scope) as Resources;
  const globals = evaluate(TEMPLATE.Globals.Function, scope) as Properties;
  const result: Comparison = { functions: {}, invocations: {}, roles: {}, logGroups: {} };
  for (const [name, { Type, Properties: properties }] of Object.entries(resources)) {
    if (Type === 'AWS::Serverless::Function') {
      // What the transform AWS::Serverless makes of it.
      const { EventInvokeConfig, CodeUri: _, Tracing, Layers, ...own } = { ...globals, ...properties };
      result.functions[name] = normal({
        ...own,
        Environment: { Variables: { ...globals.Environment.Variables, ...properties.Environment?.Variables } },
        LoggingConfig: { ...globals.LoggingConfig, ...properties.LoggingConfig },
        TracingConfig: { Mode: Tracing },
        ...(Layers?.length && { Layers }),
      });
      const { DestinationConfig, ...rest } = EventInvokeConfig;
      const { Destination } = DestinationConfig?.OnFailure ?? {};
      result.invocations[name] = { ...rest, ...(Destination && { DestinationConfig: { OnFailure: { Destination } } }) };
    } else if (Type === 'AWS::IAM::Role') {
      result.roles[name] = roleOf(properties);
    } else if (Type === 'AWS::Logs::LogGroup') {
      result.logGroups[name] = normal(properties);
    } else {
      throw new Error(`template.yaml has a ${Type}, of which this test and cdk/ know nothing`);
    }
  }
  return result;
}

/** What the construct makes, and the policies of the constructs in `users`. */
function ofConstruct(stack: Stack, provider: PostgresExtensionsProvider): Comparison {
  const ids = new Map<string, string>();
  for (const name of ['Function', 'Responder', 'Role', 'ResponderRole', 'LogGroup', 'ResponderLogGroup']) {
    const construct = provider.node.findChild(name).node.defaultChild;
    ids.set(stack.getLogicalId(construct as lambda.CfnFunction), name);
  }
  const scope: Scope = { name: (id) => ids.get(id) ?? id };
  const resources = evaluate(Template.fromStack(stack).toJSON().Resources, scope) as Resources;
  const result: Comparison = { functions: {}, invocations: {}, roles: {}, logGroups: {} };
  for (const [id, { Type, Properties: properties }] of Object.entries(resources)) {
    const name = ids.get(id);
    if (Type === 'AWS::Lambda::Function' && name) result.functions[name] = normal(properties);
    if (Type === 'AWS::IAM::Role' && name) result.roles[name] = roleOf(properties);
    if (Type === 'AWS::Logs::LogGroup' && name) result.logGroups[name] = normal(properties);
    if (Type === 'AWS::Lambda::EventInvokeConfig') {
      const { FunctionName, Qualifier, ...rest } = properties;
      expect(Qualifier).toBe('$LATEST');
      result.invocations[FunctionName.slice(1, -1)] = rest;
    }
  }
  for (const { Type, Properties: properties } of Object.values(resources)) {
    if (Type !== 'AWS::IAM::Policy') continue;
    for (const role of properties.Roles) {
      result.roles[role.slice(1, -1)].statements.push(...statements(properties.PolicyDocument));
    }
  }
  for (const { statements: all } of Object.values(result.roles)) sort(all);
  return result;
}

function sort(all: Properties[]): void {
  all.sort((one, other) => JSON.stringify(one).localeCompare(JSON.stringify(other)));
}

function roleOf({ Policies, ...role }: Properties): { role: Properties; statements: Properties[] } {
  const all = (Policies ?? []).flatMap((policy: Properties) => statements(policy.PolicyDocument));
  sort(all);
  const { Path, ...rest } = normal(role);
  return { role: { ...rest, ...(Path && Path !== '/' && { Path }) }, statements: all };
}

function statements(document: Properties): Properties[] {
  return document.Statement.map(({ Effect, Action, Resource, Condition }: Properties) => ({
    Effect,
    Action: ([] as string[]).concat(Action).sort(),
    Resource: ([] as string[])
      .concat(Resource)
      // The function's name is known beforehand in template.yaml alone.
      .map(named),
    ...(Condition && { Condition: JSON.parse(named(JSON.stringify(Condition))) }),
  }));
}

function named(text: string): string {
  return text.replace(`arn:aws:lambda:eu-central-1:${ACCOUNT}:function:stack`, '<Function.Arn>');
}

/** Without what is free to differ: names, texts and where the code is. */
function normal({ FunctionName: _n, Description: _d, Code: _c, LogGroupName: _l, ...rest }: Properties): Properties {
  // CloudFormation turns scalars into text and back.
  return JSON.parse(JSON.stringify(rest, (_, value) => (typeof value === 'number' ? String(value) : value)));
}

const GROUPS = ['sg-11111111', 'sg-22222222'];
const SUBNETS = ['subnet-11111111', 'subnet-22222222'];
const BOUNDARY = `arn:aws:iam::${ACCOUNT}:policy/boundary`;
const KEY = `arn:aws:kms:eu-central-1:${ACCOUNT}:key/11111111-2222-3333-4444-555555555555`;
const LOG_KEY = `arn:aws:kms:eu-central-1:${ACCOUNT}:key/11111111-2222-3333-4444-666666666666`;
const LAYER = `arn:aws:lambda:eu-central-1:${ACCOUNT}:layer:roots:1`;
const SECRET = `arn:aws:secretsmanager:eu-central-1:${ACCOUNT}:secret:app-abcdef`;

describe('the same as template.yaml', () => {
  test('with nothing given', () => {
    const stack = new Stack(new App(), 'Stack');
    const provider = new PostgresExtensionsProvider(stack, 'Provider');
    expect(ofConstruct(stack, provider)).toEqual(ofTemplate({}));
  });

  test('with everything given', () => {
    const stack = new Stack(new App(), 'Stack');
    const groups = GROUPS.map((id) => ec2.SecurityGroup.fromSecurityGroupId(stack, id, id));
    const provider = new PostgresExtensionsProvider(stack, 'Provider', {
      vpc: ec2.Vpc.fromVpcAttributes(stack, 'Vpc', {
        vpcId: 'vpc-11111111',
        availabilityZones: ['a', 'b'],
        privateSubnetIds: SUBNETS,
      }),
      securityGroups: groups,
      allowedHosts: ['.example.com', 'db.example.org'],
      onlyAllowedHosts: true,
      sslRootCertLayer: lambda.LayerVersion.fromLayerVersionArn(stack, 'Layer', LAYER),
      sslRootCertPath: '/opt/roots/root.pem',
      architecture: lambda.Architecture.X86_64,
      memorySize: 512,
      timeout: Duration.minutes(5),
      reservedConcurrency: 3,
      logRetention: logs.RetentionDays.ONE_YEAR,
      logKey: kms.Key.fromKeyArn(stack, 'LogKey', LOG_KEY),
      tracing: lambda.Tracing.ACTIVE,
      permissionsBoundary: iam.ManagedPolicy.fromManagedPolicyArn(stack, 'Boundary', BOUNDARY),
      rolePath: '/service/databases/',
    });
    new PostgresExtensions(stack, 'Password', {
      provider,
      secret: secretsmanager.Secret.fromSecretAttributes(stack, 'Secret', {
        secretCompleteArn: SECRET,
        encryptionKey: kms.Key.fromKeyArn(stack, 'Key', KEY),
      }),
      extensions: {},
    });
    const parameters = {
      SecretArns: [SECRET],
      KmsKeyArn: KEY,
      AllowedHosts: 'only:.example.com,db.example.org',
      SubnetIds: SUBNETS,
      SecurityGroupIds: GROUPS,
      SslRootCertLayerArn: LAYER,
      SslRootCertPath: '/opt/roots/root.pem',
      MemorySize: 512,
      Timeout: 300,
      ReservedConcurrency: 3,
      LogRetentionInDays: 365,
      LogKmsKeyArn: LOG_KEY,
      Tracing: 'Active',
      PermissionsBoundaryArn: BOUNDARY,
      RolePath: '/service/databases/',
      Architecture: 'x86_64',
    };
    // A parameter that the construct does not know is not compared above.
    expect([...Object.keys(parameters), 'IamDbUserArns'].sort()).toEqual(Object.keys(TEMPLATE.Parameters).sort());
    expect(ofConstruct(stack, provider)).toEqual(ofTemplate(parameters));
  });

  test('with IAM authentication', () => {
    const stack = new Stack(new App(), 'Stack', { env: { account: ACCOUNT, region: 'eu-central-1' } });
    const provider = new PostgresExtensionsProvider(stack, 'Provider');
    const database = cluster(stack, { iamAuthentication: true });
    new PostgresExtensions(stack, 'Extensions', {
      provider,
      cluster: database,
      authentication: DatabaseAuthentication.IAM,
      username: 'deployer',
      extensions: {},
    });
    const id = stack.getLogicalId(database.node.defaultChild as never);
    const user = `arn:aws:rds-db:eu-central-1:${ACCOUNT}:dbuser:<${id}.DBClusterResourceId>/deployer`;
    expect(ofConstruct(stack, provider)).toEqual(ofTemplate({ IamDbUserArns: [user] }));
  });
});

test('the code is of the processor, and inside the package', () => {
  for (const architecture of [undefined, lambda.Architecture.ARM_64, lambda.Architecture.X86_64]) {
    const app = new App();
    const provider = new PostgresExtensionsProvider(new Stack(app, 'Stack'), 'Provider', { architecture });
    const name = `cfn-postgres-extensions-${(architecture ?? lambda.Architecture.ARM_64).name}.zip`;
    const code = fs.readFileSync(path.join(__dirname, '..', '..', 'functions', name));
    const assembly = app.synth();
    const asset = Object.values(
      JSON.parse(fs.readFileSync(path.join(assembly.directory, 'Stack.assets.json'), 'utf8')).files as Properties,
    ).find((file) => file.source.path.endsWith('.zip'));
    expect(asset.source.packaging).toBe('file');
    expect(fs.readFileSync(path.join(assembly.directory, asset.source.path)).equals(code)).toBe(true);
    expect(provider.node.findChild('Function')).toBe(provider.function);
  }
});

test("an application's permissions boundary is honoured", () => {
  const stack = new Stack(new App(), 'Stack');
  new PostgresExtensionsProvider(stack, 'Provider');
  iam.PermissionsBoundary.of(stack).apply(iam.ManagedPolicy.fromManagedPolicyArn(stack, 'Boundary', BOUNDARY));
  Template.fromStack(stack).allResourcesProperties('AWS::IAM::Role', { PermissionsBoundary: BOUNDARY });
});

test('names of functions are as given', () => {
  const stack = new Stack(new App(), 'Stack');
  new PostgresExtensionsProvider(stack, 'Provider', { functionName: 'postgres-extensions' });
  const template = Template.fromStack(stack);
  template.hasResourceProperties('AWS::Lambda::Function', { FunctionName: 'postgres-extensions', Handler: 'bootstrap' });
  template.hasResourceProperties('AWS::Lambda::Function', {
    FunctionName: 'postgres-extensions-responder',
    Handler: 'responder',
  });
});

test('a stack has one provider for each VPC', () => {
  const stack = new Stack(new App(), 'Stack');
  const props: PostgresExtensionsProviderProps = { vpc: vpcOf(stack), memorySize: 512, timeout: Duration.minutes(1) };
  const provider = PostgresExtensionsProvider.getOrCreate(stack, props);
  expect(PostgresExtensionsProvider.getOrCreate(stack, { vpc: props.vpc })).toBe(provider);
  expect(PostgresExtensionsProvider.getOrCreate(stack, { ...props, timeout: Duration.seconds(60) })).toBe(provider);
  expect(PostgresExtensionsProvider.getOrCreate(stack)).not.toBe(provider);
  expect(PostgresExtensionsProvider.getOrCreate(stack, { vpc: new ec2.Vpc(stack, 'Other') })).not.toBe(provider);
  expect(() => PostgresExtensionsProvider.getOrCreate(stack, { vpc: props.vpc, memorySize: 128 })).toThrow(
    'the provider exists with another `memorySize`: give the properties on the first call, or create another provider by ' +
      '`new PostgresExtensionsProvider`',
  );
});

test('the same properties may be given again as other objects', () => {
  const stack = new Stack(new App(), 'Stack');
  const vpc = vpcOf(stack);
  const group = new ec2.SecurityGroup(stack, 'Group', { vpc });
  const props = (): PostgresExtensionsProviderProps => ({
    vpc,
    vpcSubnets: { subnets: [vpc.privateSubnets[0]], onePerAz: undefined },
    securityGroups: [group],
    timeout: Duration.minutes(1),
  });
  const provider = PostgresExtensionsProvider.getOrCreate(stack, props());
  expect(PostgresExtensionsProvider.getOrCreate(stack, props())).toBe(provider);
  for (const vpcSubnets of [
    {},
    { subnets: [] },
    { subnets: [vpc.privateSubnets[1]] },
    { subnets: [vpc.privateSubnets[0]], onePerAz: true },
    { subnetType: ec2.SubnetType.PRIVATE_ISOLATED },
  ]) {
    expect(() => PostgresExtensionsProvider.getOrCreate(stack, { vpc, vpcSubnets })).toThrow(
      'the provider exists with another `vpcSubnets`',
    );
  }
});

test('a public subnet is refused, unless it is allowed', () => {
  const stack = new Stack(new App(), 'Stack');
  const props = { vpc: vpcOf(stack), vpcSubnets: { subnetType: ec2.SubnetType.PUBLIC } };
  expect(() => new PostgresExtensionsProvider(stack, 'One', props)).toThrow(/public subnet/);
  new PostgresExtensionsProvider(stack, 'Other', { ...props, allowPublicSubnet: true });
});

test('an existing provider by its ARN gets no grants and no rules', () => {
  const stack = new Stack(new App(), 'Stack');
  const arn = `arn:aws:lambda:eu-central-1:${ACCOUNT}:function:postgres-extensions`;
  const provider = PostgresExtensionsProvider.fromServiceToken(stack, 'Provider', arn);
  new PostgresExtensions(stack, 'Extensions', { provider, cluster: cluster(stack), extensions: {} });
  const template = Template.fromStack(stack);
  template.hasResourceProperties('Custom::PostgresExtensions', { ServiceToken: arn });
  template.resourceCountIs('AWS::Lambda::Function', 0);
  template.resourceCountIs('AWS::IAM::Policy', 0);
  template.resourceCountIs('AWS::EC2::SecurityGroupIngress', 0);
  Annotations.fromStack(stack).hasNoWarning('*', Match.anyValue());
});

test("a role's ARN may be a value that CloudFormation gives", () => {
  const stack = new Stack(new App(), 'Stack');
  const roleArn = Fn.importValue('postgres-extensions-RoleArn');
  const provider = PostgresExtensionsProvider.fromAttributes(stack, 'Provider', { serviceToken: 'arn', roleArn });
  const secret = secretsmanager.Secret.fromSecretNameV2(stack, 'Secret', 'app');
  new PostgresExtensions(stack, 'Extensions', { provider, secret, extensions: {} });
  const resource = { 'Fn::Select': [5, { 'Fn::Split': [':', { 'Fn::ImportValue': 'postgres-extensions-RoleArn' }] }] };
  Template.fromStack(stack).hasResourceProperties('AWS::IAM::Policy', {
    // The second word, which is the name if the role has no path.
    Roles: [{ 'Fn::Select': [1, { 'Fn::Split': ['/', resource] }] }],
  });
});

test('an existing provider with its role and security group gets both', () => {
  const stack = new Stack(new App(), 'Stack');
  const provider = PostgresExtensionsProvider.fromAttributes(stack, 'Provider', {
    serviceToken: 'arn',
    roleArn: `arn:aws:iam::${ACCOUNT}:role/service/role`,
    securityGroups: [ec2.SecurityGroup.fromSecurityGroupId(stack, 'Group', GROUPS[0])],
  });
  new PostgresExtensions(stack, 'Extensions', { provider, cluster: cluster(stack), extensions: {} });
  const template = Template.fromStack(stack);
  template.hasResourceProperties('AWS::IAM::Policy', { Roles: ['role'] });
  template.hasResourceProperties('AWS::EC2::SecurityGroupIngress', { SourceSecurityGroupId: GROUPS[0] });
});
