import { App, Aspects, Stack, Validations } from 'aws-cdk-lib';
import { Annotations, Match } from 'aws-cdk-lib/assertions';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { AwsSolutionsChecks } from 'cdk-nag';
import * as version2 from 'cdk-nag-2';
import { PostgresExtensions, PostgresExtensionsProvider } from 'cfn-postgres-extensions';
import { cluster } from './support';

/** Everything that the library makes, and a database that cdk-nag accepts. */
function build(stack: Stack): PostgresExtensionsProvider {
  const vpc = ec2.Vpc.fromVpcAttributes(stack, 'Vpc', {
    vpcId: 'vpc-11111111',
    availabilityZones: ['eu-central-1a', 'eu-central-1b'],
    privateSubnetIds: ['subnet-11111111', 'subnet-22222222'],
  });
  const database = cluster(stack, { vpc, storageEncrypted: true, deletionProtection: true, iamAuthentication: true });
  new PostgresExtensions(stack, 'Extensions', { cluster: database, extensions: {} });
  const named = secretsmanager.Secret.fromSecretNameV2(stack, 'Named', 'app');
  const provider = new PostgresExtensionsProvider(stack, 'Traced', { vpc, tracing: lambda.Tracing.ACTIVE });
  new PostgresExtensions(stack, 'Other', { provider, secret: named, extensions: {} });
  return provider;
}

/** What version 3 finds: `path rule`. */
function findings(plant: (provider: PostgresExtensionsProvider) => void): string[] {
  const app = new App();
  const stack = new Stack(app, 'Stack');
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  plant(build(stack));
  try {
    app.synth();
  } catch (error) {
    const found = (error as Error).message.matchAll(/^ +(\S+) aws-cdk-lib\S+\n +Acknowledge with 'AwsSolutions::AwsSolutions-(.*)'$/gm);
    return [...found].map(([, path, rule]) => `${path} ${rule}`).sort();
  }
  return [];
}

// Rotation is the affair of who makes the secret.
const SECRETS = ['Stack/Cluster/Secret/Resource SMG4'];

test('cdk-nag finds nothing in what the library makes', () => {
  expect(findings(() => undefined)).toEqual(SECRETS);
});

test('cdk-nag finds a wildcard that is planted', () => {
  const plant = (provider: PostgresExtensionsProvider) =>
    (provider.role as iam.Role).addToPolicy(new iam.PolicyStatement({ actions: ['s3:*'], resources: ['arn:aws:s3:::x/*'] }));
  expect(findings(plant)).toEqual([
    ...SECRETS,
    'Stack/Traced/Role/DefaultPolicy/Resource IAM5[Action::s3:*]',
    'Stack/Traced/Role/DefaultPolicy/Resource IAM5[Resource::arn:aws:s3:::x/*]',
  ]);
});

test('version 2 of cdk-nag finds as little', () => {
  const stack = new Stack(new App(), 'Stack');
  build(stack);
  Aspects.of(stack).add(new version2.AwsSolutionsChecks());
  const found = Annotations.fromStack(stack).findError('*', Match.stringLikeRegexp('AwsSolutions'));
  expect(found.map(({ id }) => id.slice(1)).sort()).toEqual(SECRETS.map((secret) => secret.split(' ')[0]));
});
