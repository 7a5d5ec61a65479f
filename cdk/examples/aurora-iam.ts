// Aurora PostgreSQL, and its extensions, installed by a role that authenticates by IAM: no password, no NAT gateway.
//
//   cdk deploy Database
//   psql, as the master user: CREATE ROLE deployer LOGIN; GRANT rds_iam, rds_superuser TO deployer;
//   cdk deploy Extensions
import { App, CfnOutput, Stack, StackProps } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as rds from 'aws-cdk-lib/aws-rds';
import { DatabaseAuthentication, ExtensionVersion, PostgresExtensions } from 'cfn-postgres-extensions';
import { Construct } from 'constructs';

class DatabaseStack extends Stack {
  public readonly cluster: rds.DatabaseCluster;

  constructor(scope: Construct, id: string, props?: StackProps) {
    super(scope, id, props);
    const vpc = new ec2.Vpc(this, 'Vpc', {
      natGateways: 0,
      subnetConfiguration: [{ name: 'database', subnetType: ec2.SubnetType.PRIVATE_ISOLATED }],
      // The function responds to CloudFormation through S3. A gateway endpoint is free.
      gatewayEndpoints: { S3: { service: ec2.GatewayVpcEndpointAwsService.S3 } },
    });
    this.cluster = new rds.DatabaseCluster(this, 'Cluster', {
      engine: rds.DatabaseClusterEngine.auroraPostgres({ version: rds.AuroraPostgresEngineVersion.VER_16_6 }),
      writer: rds.ClusterInstance.serverlessV2('Writer'),
      vpc,
      vpcSubnets: { subnetType: ec2.SubnetType.PRIVATE_ISOLATED },
      defaultDatabaseName: 'app',
      iamAuthentication: true,
      storageEncrypted: true,
    });
  }
}

interface ExtensionsStackProps extends StackProps {
  readonly cluster: rds.DatabaseCluster;
}

class ExtensionsStack extends Stack {
  constructor(scope: Construct, id: string, props: ExtensionsStackProps) {
    super(scope, id, props);
    const extensions = new PostgresExtensions(this, 'Extensions', {
      cluster: props.cluster,
      authentication: DatabaseAuthentication.IAM,
      username: 'deployer',
      databases: ['app'],
      extensions: {
        postgis: '3.4.3',
        pgcrypto: ExtensionVersion.ANY,
        vector: { version: ExtensionVersion.LATEST, schema: 'tools' },
      },
    });
    new CfnOutput(this, 'PostGIS', { value: extensions.version('postgis') });
  }
}

const app = new App();
const { cluster } = new DatabaseStack(app, 'Database');
new ExtensionsStack(app, 'Extensions', { cluster });
