// PostGIS and pgcrypto in a database that keeps them, and hstore in one that loses it with the stack.
import { readFileSync } from 'fs';
import { App, CfnOutput, Stack } from 'aws-cdk-lib';
import { Architecture } from 'aws-cdk-lib/aws-lambda';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import {
  DowngradePolicy,
  ExtensionsRemovalPolicy,
  ExtensionVersion,
  PostgresExtensions,
  PostgresExtensionsProvider,
} from 'cfn-postgres-extensions';

// What the test knows of the server, and what it changes between deployments.
const settings = JSON.parse(readFileSync('settings.json', 'utf8'));

const stack = new Stack(new App(), 'App');
const server = {
  host: settings.host,
  port: settings.port,
  secret: Secret.fromSecretCompleteArn(stack, 'Login', settings.secretArn),
  sslRootCert: settings.sslRootCert,
  provider: new PostgresExtensionsProvider(stack, 'Provider', {
    allowedHosts: [settings.host],
    architecture: settings.arm64 ? Architecture.ARM_64 : Architecture.X86_64,
  }),
};
const kept = new PostgresExtensions(stack, 'Kept', {
  ...server,
  databases: ['kept'],
  extensions: { PostGIS: ExtensionVersion.LATEST, pgcrypto: '1.3', ...settings.more },
});
const dropped = new PostgresExtensions(stack, 'Dropped', {
  ...server,
  databases: ['dropped'],
  extensions: { hstore: settings.hstore },
  removalPolicy: ExtensionsRemovalPolicy.DROP,
  downgradePolicy: DowngradePolicy.KEEP,
});
// After it, so that what fails here fails when `dropped` is updated already.
kept.node.addDependency(dropped);

new CfnOutput(stack, 'PostGIS', { value: kept.version('PostGIS') });
new CfnOutput(stack, 'KeptChanges', { value: kept.changes });
new CfnOutput(stack, 'DroppedChanges', { value: dropped.changes });
