import * as fs from 'fs';
import * as path from 'path';
import * as cdk from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as destinations from 'aws-cdk-lib/aws-lambda-destinations';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct, IConstruct, IDependable } from 'constructs';
import { acknowledge } from './private/acknowledge';
import { numberProblem, seconds, shown } from './private/text';

/** The function behind `PostgresExtensions`: created by `PostgresExtensionsProvider`, or there already. */
export interface IPostgresExtensionsProvider extends IConstruct, iam.IGrantable, ec2.IConnectable {
  /** The function's ARN: the `ServiceToken` of custom resources. */
  readonly serviceToken: string;

  /** The function's role, where it is known. */
  readonly role?: iam.IRole;
}

/** Properties of `PostgresExtensionsProvider`. */
export interface PostgresExtensionsProviderProps {
  /**
   * The network from which the databases can be reached. From there the function must also reach Secrets Manager,
   * unless it needs no secret, and S3, unless its responses may be late.
   *
   * @default - no VPC: the databases are reached over the internet
   */
  readonly vpc?: ec2.IVpc;

  /**
   * The subnets of the function.
   *
   * @default - private subnets with egress, else isolated ones
   */
  readonly vpcSubnets?: ec2.SubnetSelection;

  /**
   * Whether the subnets may be public. A function in a public subnet does not reach the internet.
   *
   * @default false
   */
  readonly allowPublicSubnet?: boolean;

  /**
   * The function's security groups.
   *
   * @default - a new one, which allows all outbound traffic
   */
  readonly securityGroups?: ec2.ISecurityGroup[];

  /**
   * Hosts to which a password may also go where the host is not the secret's, under `SslMode.VERIFY_FULL`. An entry
   * that begins with a dot is the end of a name. Any other such host gets a proof by SCRAM with channel binding and no
   * password.
   *
   * @default ['.rds.amazonaws.com', '.rds.amazonaws.com.cn']
   */
  readonly allowedHosts?: string[];

  /**
   * Whether the function connects to no other hosts than `allowedHosts`, whatever a secret says.
   *
   * @default false
   */
  readonly onlyAllowedHosts?: boolean;

  /**
   * A layer that holds a PEM file with the certificates of your own authorities. The function trusts them for every
   * database, beside those of RDS and Amazon.
   *
   * @default - none
   */
  readonly sslRootCertLayer?: lambda.ILayerVersion;

  /**
   * Where the function finds the PEM file of `sslRootCertLayer`.
   *
   * @default /opt/root.pem
   */
  readonly sslRootCertPath?: string;

  /**
   * The processor: `ARM_64` or `X86_64`.
   *
   * @default lambda.Architecture.ARM_64
   */
  readonly architecture?: lambda.Architecture;

  /**
   * The function's memory in MB, from 128 to 10240. Processor time comes with memory: less makes TLS slow.
   *
   * @default 256
   */
  readonly memorySize?: number;

  /**
   * How long one request may take, from 30 to 900 seconds.
   *
   * @default Duration.seconds(900)
   */
  readonly timeout?: cdk.Duration;

  /**
   * How many requests may run at a time, at least 1. Lambda keeps them for this function.
   *
   * @default - no limit but the account's, and nothing is kept
   */
  readonly reservedConcurrency?: number;

  /**
   * How long CloudWatch keeps the functions' logs, which hold no passwords.
   *
   * @default logs.RetentionDays.ONE_MONTH
   */
  readonly logRetention?: logs.RetentionDays;

  /**
   * The key that CloudWatch Logs encrypts the logs with. Its policy must allow this to `logs.REGION.amazonaws.com`.
   *
   * @default - CloudWatch's own key
   */
  readonly logKey?: kms.IKey;

  /**
   * Whether Lambda sends traces of both functions to X-Ray.
   *
   * @default lambda.Tracing.PASS_THROUGH
   */
  readonly tracing?: lambda.Tracing;

  /**
   * The permissions boundary of both roles. One of `iam.PermissionsBoundary.of()` is honoured too.
   *
   * @default - none
   */
  readonly permissionsBoundary?: iam.IManagedPolicy;

  /**
   * The IAM path of both roles.
   *
   * @default /
   */
  readonly rolePath?: string;

  /**
   * The function's name, at most 54 characters. The failure destination is called `<name>-responder`. A new name is a
   * new function with another ARN, which CloudFormation refuses to existing custom resources.
   *
   * @default - CloudFormation's
   */
  readonly functionName?: string;
}

/** What is known of a provider that is there already. */
export interface PostgresExtensionsProviderAttributes {
  /** The function's ARN, such as the export `postgres-extensions-ServiceToken` of the project's `template.yaml`. */
  readonly serviceToken: string;

  /**
   * The ARN of the function's role, such as the export `postgres-extensions-RoleArn`. It gets the grants.
   *
   * Of a role with a path, write the ARN as text, or leave the path out of it: in a value that CloudFormation gives, the
   * CDK takes the first word after `role/` for the role's name.
   *
   * @default - nothing is granted: the role may do already what is needed
   */
  readonly roleArn?: string;

  /**
   * The function's security groups, which databases then allow.
   *
   * @default - no security group of a database is changed
   */
  readonly securityGroups?: ec2.ISecurityGroup[];
}

const DEFAULT_HOSTS = ['.rds.amazonaws.com', '.rds.amazonaws.com.cn'];
const FUNCTIONS = path.join(__dirname, '..', 'functions');

/**
 * The function that reconciles extensions, and its failure destination, which responds to CloudFormation where the
 * function could not.
 *
 * Whoever may name the function as service token can use every secret that it may read: one provider for each trust
 * zone.
 */
export class PostgresExtensionsProvider extends Construct implements IPostgresExtensionsProvider {
  /**
   * The provider of the stack for a VPC: created on the first call, and the same afterwards.
   *
   * Its ARN changes with the path of the VPC in the construct tree, which CloudFormation refuses to existing custom
   * resources. Create a provider by `new` where the tree may be rearranged.
   *
   * @param scope any construct of the stack
   * @param props of a new provider; a later call may leave out all but the VPC
   */
  public static getOrCreate(
    scope: Construct,
    props: PostgresExtensionsProviderProps = {},
  ): PostgresExtensionsProvider {
    const stack = cdk.Stack.of(scope);
    const id = `PostgresExtensionsProvider${props.vpc?.node.addr.slice(2, 10) ?? ''}`;
    const existing = stack.node.tryFindChild(id) as PostgresExtensionsProvider | undefined;
    if (!existing) return new PostgresExtensionsProvider(stack, id, props);
    for (const [name, value] of Object.entries(props)) {
      if (value !== undefined && !isSame(value, (existing.props as Record<string, unknown>)[name])) {
        throw new Error(
          `${existing.node.path}: the provider exists with another \`${name}\`: give the properties on the first call, ` +
            'or create another provider by `new PostgresExtensionsProvider`',
        );
      }
    }
    return existing;
  }

  /**
   * A provider that is there already, by its ARN. Nothing is granted to it, and no security group is changed.
   *
   * @param scope where the construct belongs
   * @param id of the construct
   * @param serviceToken the function's ARN, such as
   *   `Fn.importValue('postgres-extensions-ServiceToken')` of the project's `template.yaml`
   */
  public static fromServiceToken(scope: Construct, id: string, serviceToken: string): IPostgresExtensionsProvider {
    return PostgresExtensionsProvider.fromAttributes(scope, id, { serviceToken });
  }

  /**
   * A provider that is there already, with its role and security groups.
   *
   * @param scope where the construct belongs
   * @param id of the construct
   * @param attributes what is known of it
   */
  public static fromAttributes(
    scope: Construct,
    id: string,
    attributes: PostgresExtensionsProviderAttributes,
  ): IPostgresExtensionsProvider {
    return new ImportedProvider(scope, id, attributes);
  }

  /** The function's ARN: the `ServiceToken` of custom resources. */
  public readonly serviceToken: string;

  /** The function's role. */
  public readonly role?: iam.IRole;

  /** What is granted to the provider is granted to the function's role. */
  public readonly grantPrincipal: iam.IPrincipal;

  /** The function's security groups: none without a VPC. */
  public readonly connections: ec2.Connections;

  /** The function. */
  public readonly function: lambda.IFunction;

  /** The failure destination, which is never in a VPC. */
  public readonly responder: lambda.IFunction;

  /**
   * What must be there while the function is used.
   *
   * @internal
   */
  public readonly _dependables: IDependable[];

  /**
   * The VPC, whose stack comes before this one.
   *
   * @internal
   */
  public readonly _vpc?: ec2.IVpc;

  private readonly props: PostgresExtensionsProviderProps;

  constructor(scope: Construct, id: string, props: PostgresExtensionsProviderProps = {}) {
    super(scope, id);
    this.props = props;
    // What the CDK would refuse alone, `problems` has among the others.
    const functionName = functionNameProblem(props.functionName) ? undefined : props.functionName;
    this._vpc = props.vpc;
    this.node.addValidation({ validate: () => problems(props) });

    const code = lambda.Code.fromAsset(zip(props.architecture ?? lambda.Architecture.ARM_64, this));
    const common = {
      runtime: lambda.Runtime.PROVIDED_AL2023,
      architecture: props.architecture ?? lambda.Architecture.ARM_64,
      code,
      tracing: props.tracing ?? lambda.Tracing.PASS_THROUGH,
      // The functions write JSON themselves. With Lambda's JSON format their lines would be subject to Lambda's own
      // level filter.
      loggingFormat: lambda.LoggingFormat.TEXT,
    };
    // The functions do not trust the system's roots. OpenSSL would still parse them for each TLS configuration.
    const environment = { SSL_CERT_FILE: '/dev/null' };

    const responderLogGroup = this.logGroup('ResponderLogGroup');
    const responderRole = this.functionRole('ResponderRole', responderLogGroup, 'the failure destination');
    const responder = new lambda.Function(this, 'Responder', {
      ...common,
      functionName: functionName && `${functionName}-responder`,
      description: 'Responds to CloudFormation where the function that reconciles extensions could not',
      // The program reads this name: anything else is the first function.
      handler: 'responder',
      environment,
      memorySize: 128,
      timeout: cdk.Duration.seconds(60),
      role: responderRole.withoutPolicyUpdates(),
      logGroup: responderLogGroup,
      // CloudFormation still waits, and takes the first response that arrives.
      retryAttempts: 2,
      // What throttled the function may throttle this one too.
      maxEventAge: cdk.Duration.seconds(1800),
    });
    responder.node.addDependency(responderRole);

    const logGroup = this.logGroup('LogGroup');
    const role = this.functionRole('Role', logGroup, 'the function that reconciles extensions', {
      responder: policy(
        // For Lambda, which sends the record of a failure with this role.
        new iam.PolicyStatement({ actions: ['lambda:InvokeFunction'], resources: [responder.functionArn] }),
      ),
      ...(props.vpc && { network: this.network() }),
    });
    const allowedHosts = (props.allowedHosts ?? DEFAULT_HOSTS).join(',');
    const reconciler = new lambda.Function(this, 'Function', {
      ...common,
      functionName,
      description: 'Reconciles the extensions of PostgreSQL servers for CloudFormation',
      handler: 'bootstrap',
      environment: {
        ...environment,
        ALLOWED_HOSTS: props.onlyAllowedHosts ? `only:${allowedHosts}` : allowedHosts,
        ...(props.sslRootCertLayer && { PGSSLROOTCERT: props.sslRootCertPath ?? '/opt/root.pem' }),
      },
      layers: props.sslRootCertLayer && [props.sslRootCertLayer],
      memorySize: props.memorySize ?? 256,
      timeout: props.timeout ?? cdk.Duration.seconds(900),
      reservedConcurrentExecutions: props.reservedConcurrency,
      role: role.withoutPolicyUpdates(),
      logGroup,
      vpc: props.vpc,
      vpcSubnets: props.vpcSubnets,
      allowPublicSubnet: props.allowPublicSubnet,
      securityGroups: props.securityGroups,
      // The failure destination responds for a run that failed. A second run could end too late.
      retryAttempts: 0,
      // Lambda needs time to activate a function that was idle for weeks.
      maxEventAge: cdk.Duration.seconds(300),
      onFailure: new destinations.LambdaDestination(responder),
    });
    reconciler.node.addDependency(role);

    this._dependables = [role, reconciler.node.findChild('EventInvokeConfig')];
    if (props.vpc) {
      // The network is for Lambda, which attaches the function to it, and not for the function's code.
      const networkOfCode = new iam.Policy(this, 'NetworkOfCode', {
        roles: [role],
        statements: [
          new iam.PolicyStatement({
            effect: iam.Effect.DENY,
            actions: ['ec2:*'],
            resources: ['*'],
            conditions: { ArnEquals: { 'lambda:SourceFunctionArn': reconciler.functionArn } },
          }),
        ],
      });
      this._dependables.push(networkOfCode);
    }

    this.function = reconciler;
    this.responder = responder;
    this.serviceToken = reconciler.functionArn;
    this.role = role;
    this.grantPrincipal = role;
    this.connections = props.vpc ? reconciler.connections : new ec2.Connections();
  }

  private logGroup(id: string): logs.LogGroup {
    return new logs.LogGroup(this, id, {
      retention: this.props.logRetention ?? logs.RetentionDays.ONE_MONTH,
      encryptionKey: this.props.logKey,
      removalPolicy: cdk.RemovalPolicy.DESTROY,
    });
  }

  /** A role whose policies are inline: a policy resource could be created after the function, and deleted before it. */
  private functionRole(
    id: string,
    logGroup: logs.LogGroup,
    whose: string,
    policies: Record<string, iam.PolicyDocument> = {},
  ): iam.Role {
    const isTraced = this.props.tracing === lambda.Tracing.ACTIVE;
    const role = new iam.Role(this, id, {
      description: `What ${whose} may do`,
      path: this.props.rolePath,
      permissionsBoundary: this.props.permissionsBoundary,
      assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
      inlinePolicies: {
        log: policy(
          new iam.PolicyStatement({
            actions: ['logs:CreateLogStream', 'logs:PutLogEvents'],
            resources: [logGroup.logGroupArn],
          }),
        ),
        ...(isTraced && {
          traces: policy(
            // X-Ray accepts no narrower resource for these.
            new iam.PolicyStatement({
              actions: ['xray:PutTraceSegments', 'xray:PutTelemetryRecords'],
              resources: ['*'],
            }),
          ),
        }),
        ...policies,
      },
    });
    acknowledge(role, 'AwsSolutions-IAM5', {
      ...((isTraced || policies.network) && {
        'Resource::*': 'X-Ray and EC2 accept no narrower resource for these actions',
      }),
      ...(policies.network && {
        'Resource::arn:<AWS::Partition>:ec2:<AWS::Region>:<AWS::AccountId>:*/*':
          'Lambda attaches the function to the network with this role; the code of the function may not use it',
      }),
    });
    return role;
  }

  private network(): iam.PolicyDocument {
    return policy(
      new iam.PolicyStatement({
        actions: [
          'ec2:CreateNetworkInterface',
          'ec2:DeleteNetworkInterface',
          'ec2:AssignPrivateIpAddresses',
          'ec2:UnassignPrivateIpAddresses',
        ],
        resources: [`arn:${cdk.Aws.PARTITION}:ec2:${cdk.Aws.REGION}:${cdk.Aws.ACCOUNT_ID}:*/*`],
      }),
      // EC2 accepts no narrower resource for these.
      new iam.PolicyStatement({
        actions: ['ec2:DescribeNetworkInterfaces', 'ec2:DescribeSubnets'],
        resources: ['*'],
      }),
    );
  }
}

class ImportedProvider extends Construct implements IPostgresExtensionsProvider {
  public readonly serviceToken: string;
  public readonly role?: iam.IRole;
  public readonly grantPrincipal: iam.IPrincipal;
  public readonly connections: ec2.Connections;

  constructor(scope: Construct, id: string, attributes: PostgresExtensionsProviderAttributes) {
    super(scope, id);
    this.serviceToken = attributes.serviceToken;
    this.role = attributes.roleArn ? iam.Role.fromRoleArn(this, 'Role', attributes.roleArn) : undefined;
    this.grantPrincipal = this.role ?? new iam.UnknownPrincipal({ resource: this });
    this.connections = new ec2.Connections({ securityGroups: attributes.securityGroups });
  }
}

function policy(...statements: iam.PolicyStatement[]): iam.PolicyDocument {
  return new iam.PolicyDocument({ statements });
}

/** The file of the functions' code, which the package contains: nothing is downloaded. */
function zip(architecture: lambda.Architecture, scope: Construct): string {
  const file = path.join(FUNCTIONS, `cfn-postgres-extensions-${architecture.name}.zip`);
  if (!fs.existsSync(file)) {
    throw new Error(
      `${scope.node.path}: there is no function for the architecture \`${shown(architecture.name)}\`: use ` +
        'Architecture.ARM_64 or Architecture.X86_64',
    );
  }
  return file;
}

/** Whether two values of a property mean the same: in Python every structure is a new object. */
function isSame(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (one instanceof cdk.Duration && other instanceof cdk.Duration) return one.toMilliseconds() === other.toMilliseconds();
  if (Array.isArray(one) && Array.isArray(other)) {
    return one.length === other.length && one.every((element, index) => isSame(element, other[index]));
  }
  if (!isStructure(one) || !isStructure(other)) return false;
  return Object.keys({ ...one, ...other }).every((key) => isSame(one[key], other[key]));
}

function isStructure(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

/** What is wrong with properties. */
function problems(props: PostgresExtensionsProviderProps): string[] {
  const found = [
    numberProblem('memorySize', props.memorySize, 128, 10240, 'a number of MB'),
    numberProblem('timeout', seconds(props.timeout), 30, 900, 'a number of seconds'),
    numberProblem('reservedConcurrency', props.reservedConcurrency, 1, 99999, 'a number of requests'),
  ].filter((problem) => problem !== undefined);
  const name = functionNameProblem(props.functionName);
  if (name !== undefined) found.push(name);
  for (const host of props.allowedHosts ?? []) {
    if (!cdk.Token.isUnresolved(host) && !/^(?!only:)[A-Za-z0-9._:-]+$/.test(host)) {
      found.push('`allowedHosts` must be host names, or ends of host names that begin with a dot');
    }
  }
  if (props.onlyAllowedHosts && props.allowedHosts?.length === 0) {
    found.push('`onlyAllowedHosts` allows no host: give `allowedHosts`, or leave them out for those of RDS');
  }
  if (props.sslRootCertPath && !props.sslRootCertLayer) {
    found.push('`sslRootCertPath` is the file of a layer: give `sslRootCertLayer`, or leave the path out');
  }
  return found;
}

function functionNameProblem(name: string | undefined): string | undefined {
  if (name === undefined || cdk.Token.isUnresolved(name) || /^[A-Za-z0-9_-]{1,54}$/.test(name)) return undefined;
  return '`functionName` must be 1 to 54 letters, digits, `-` and `_`: Lambda allows 64, with `-responder` at the end';
}
