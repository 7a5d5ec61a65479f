import { App, Stack } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as rds from 'aws-cdk-lib/aws-rds';
import { ExtensionVersion, PostgresExtensions } from 'cfn-postgres-extensions';

test('a cluster gives its endpoint and its secret', () => {
  const stack = new Stack(new App(), 'Stack');
  const cluster = new rds.DatabaseCluster(stack, 'Cluster', {
    engine: rds.DatabaseClusterEngine.auroraPostgres({ version: rds.AuroraPostgresEngineVersion.VER_16_6 }),
    writer: rds.ClusterInstance.serverlessV2('Writer'),
    vpc: new ec2.Vpc(stack, 'Vpc'),
  });
  new PostgresExtensions(stack, 'Extensions', { cluster, extensions: { postgis: '3.4.3', hstore: ExtensionVersion.ANY } });

  Template.fromStack(stack).hasResourceProperties('Custom::PostgresExtensions', {
    DBSecret: { Ref: Match.stringLikeRegexp('^ClusterSecretAttachment') },
    Host: { 'Fn::GetAtt': [Match.stringLikeRegexp('^Cluster'), 'Endpoint.Address'] },
    Port: { 'Fn::GetAtt': [Match.stringLikeRegexp('^Cluster'), 'Endpoint.Port'] },
    PluginsMap: { postgis: '3.4.3', hstore: 'any' },
  });
});
