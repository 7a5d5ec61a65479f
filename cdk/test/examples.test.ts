import { App } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { DatabaseStack, ExtensionsStack } from '../examples/aurora-iam';

test('Aurora with IAM', () => {
  const app = new App();
  const database = new DatabaseStack(app, 'Database');
  const extensions = new ExtensionsStack(app, 'Extensions', { cluster: database.cluster });
  Template.fromStack(database).hasResourceProperties('AWS::RDS::DBCluster', { EnableIAMDatabaseAuthentication: true });
  Template.fromStack(extensions).hasResourceProperties('Custom::PostgresExtensions', {
    Authentication: 'IAM',
    PluginsMap: { postgis: '3.4.3', pgcrypto: 'any', vector: { Version: 'latest', Schema: 'extensions' } },
  });
});
