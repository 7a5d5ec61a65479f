// Aurora PostgreSQL, whose extensions a role installs that authenticates by IAM, without a password.
import { App, CfnOutput, Stack } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as rds from 'aws-cdk-lib/aws-rds';
import { DatabaseAuthentication, ExtensionVersion, PostgresExtensions } from 'cfn-postgres-extensions';

const app = new App();
const stack = new Stack(app, 'Database');
const vpc = new ec2.Vpc(stack, 'Vpc');

const cluster = new rds.DatabaseCluster(stack, 'Cluster', {
  engine: rds.DatabaseClusterEngine.auroraPostgres({ version: rds.AuroraPostgresEngineVersion.VER_16_6 }),
  writer: rds.ClusterInstance.serverlessV2('Writer'),
  vpc,
  iamAuthentication: true,
  defaultDatabaseName: 'app',
});

const extensions = new PostgresExtensions(stack, 'Extensions', {
  cluster,
  authentication: DatabaseAuthentication.IAM,
  username: 'deployer',
  databases: ['app'],
  extensions: {
    postgis: '3.4.3',
    pgcrypto: ExtensionVersion.ANY,
    vector: { version: ExtensionVersion.LATEST, schema: 'extensions' },
  },
});

new CfnOutput(stack, 'PostGIS', { value: extensions.version('postgis') });
