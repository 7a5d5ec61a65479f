import { App, CfnOutput, Stack } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as rds from 'aws-cdk-lib/aws-rds';
import { ExtensionVersion, PostgresExtensions } from 'cfn-postgres-extensions';

const app = new App();
const stack = new Stack(app, 'Database');
const cluster = new rds.DatabaseCluster(stack, 'Cluster', {
  engine: rds.DatabaseClusterEngine.auroraPostgres({ version: rds.AuroraPostgresEngineVersion.VER_16_6 }),
  writer: rds.ClusterInstance.serverlessV2('Writer'),
  vpc: new ec2.Vpc(stack, 'Vpc'),
  defaultDatabaseName: 'app',
});
const extensions = new PostgresExtensions(stack, 'Extensions', {
  cluster,
  extensions: {
    postgis: '3.4.3',
    pgcrypto: ExtensionVersion.ANY,
    vector: { version: ExtensionVersion.LATEST, schema: 'tools' },
  },
});
new CfnOutput(stack, 'PostGIS', { value: extensions.version('postgis') });
