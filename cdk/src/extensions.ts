import * as cdk from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as rds from 'aws-cdk-lib/aws-rds';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct, IConstruct, IDependable } from 'constructs';
import { ExtensionOptions, ExtensionVersion } from './extension-version';
import { problems, serviceTimeoutProblem } from './private/problems';
import { IPostgresExtensionsProvider, PostgresExtensionsProvider } from './provider';

/** What becomes of extensions that this construct created, when their entries or the construct are removed. */
export enum ExtensionsRemovalPolicy {
  /** They stay. */
  RETAIN = 'Retain',
  /** They are dropped, unless something depends on them or their tables hold rows of the user's. */
  DROP = 'Drop',
  /** They are dropped, with what depends on them and the rows in their tables. */
  DROP_CASCADE = 'DropCascade',
}

/** What an exact version does that no update path reaches from the installed one. */
export enum DowngradePolicy {
  /** The deployment fails. */
  FAIL = 'Fail',
  /** The installed version stays, and `changes` says so. */
  KEEP = 'Keep',
}

/** How the role authenticates in the database. */
export enum DatabaseAuthentication {
  /** By the secret's password. */
  PASSWORD = 'Password',
  /** By a token of IAM, without a password. */
  IAM = 'IAM',
}

/** How the server proves who it is: the words are libpq's. */
export enum SslMode {
  /** By a certificate of a trusted authority, for the host's name. */
  VERIFY_FULL = 'verify-full',
  /** By a certificate of a trusted authority. */
  VERIFY_CA = 'verify-ca',
  /** Not at all, though the connection is encrypted. */
  REQUIRE = 'require',
  /** Without TLS. Only where the secret alone names the host. */
  DISABLE = 'disable',
}

/** Properties of `PostgresExtensions`. */
export interface PostgresExtensionsProps {
  /**
   * The extensions: name to version. A version is text, because `1.10` as a number is `1.1`. The name `*` stands for
   * every extension that is installed and not named; its versions are `latest` and `any`.
   *
   * @default - none; then `extensionsFrom` is required
   */
  readonly extensions?: { [name: string]: string | ExtensionVersion | ExtensionOptions };

  /**
   * The secret of another database, whose extensions and versions are desired too. Entries of `extensions` win.
   *
   * @default - none
   */
  readonly extensionsFrom?: secretsmanager.ISecret;

  /**
   * The Aurora cluster, or Multi-AZ DB cluster.
   *
   * @default - `instance`, `host`, or the host that `secret` names
   */
  readonly cluster?: rds.IDatabaseCluster;

  /**
   * The RDS instance.
   *
   * @default - `cluster`, `host`, or the host that `secret` names
   */
  readonly instance?: rds.IDatabaseInstance;

  /**
   * The name or address of any other server.
   *
   * @default - the endpoint of `cluster` or `instance`, else the secret's
   */
  readonly host?: string;

  /**
   * The server's port.
   *
   * @default - the port of `cluster` or `instance`, else the secret's, else 5432
   */
  readonly port?: number;

  /**
   * The secret with the credentials: `username`, `password` and, where the database is not given here, `host`.
   *
   * @default - the secret of `cluster` or `instance`; none with `DatabaseAuthentication.IAM`
   */
  readonly secret?: secretsmanager.ISecret;

  /**
   * How the role authenticates.
   *
   * @default DatabaseAuthentication.PASSWORD
   */
  readonly authentication?: DatabaseAuthentication;

  /**
   * The database role to log in as.
   *
   * @default - the secret's; required with `DatabaseAuthentication.IAM`
   */
  readonly username?: string;

  /**
   * Where to install. `['*']` is every database that allows connections and is no template.
   *
   * @default - the secret's `dbname`, else `postgres`
   */
  readonly databases?: string[];

  /**
   * What becomes of extensions that this construct created, when their entries or the construct are removed.
   *
   * @default ExtensionsRemovalPolicy.RETAIN
   */
  readonly removalPolicy?: ExtensionsRemovalPolicy;

  /**
   * What an exact version does that no update path reaches from the installed one.
   *
   * @default DowngradePolicy.FAIL
   */
  readonly downgradePolicy?: DowngradePolicy;

  /**
   * How the server proves who it is.
   *
   * @default SslMode.VERIFY_FULL
   */
  readonly sslMode?: SslMode;

  /**
   * Certificates of authorities to trust beside the built-in ones of RDS and Amazon, as PEM text.
   *
   * @default - none
   */
  readonly sslRootCert?: string;

  /**
   * Prove the plan in a transaction that is rolled back, and respond as if it had been committed.
   *
   * @default false
   */
  readonly dryRun?: boolean;

  /**
   * Ignored by the function. A new value makes CloudFormation send an Update.
   *
   * @default - none
   */
  readonly trigger?: string;

  /**
   * How long CloudFormation waits, from 1 to 3600 seconds. It also bounds the function's time.
   *
   * @default Duration.seconds(3600)
   */
  readonly serviceTimeout?: cdk.Duration;

  /**
   * The function that does it.
   *
   * @default - the stack's for the VPC: `PostgresExtensionsProvider.getOrCreate(this, { vpc, vpcSubnets })`
   */
  readonly provider?: IPostgresExtensionsProvider;

  /**
   * The VPC of the provider, where no `provider` is given.
   *
   * @default - the VPC of `cluster` or `instance`
   */
  readonly vpc?: ec2.IVpc;

  /**
   * The subnets of the provider, where no `provider` is given.
   *
   * @default - private subnets with egress, else isolated ones
   */
  readonly vpcSubnets?: ec2.SubnetSelection;
}

/**
 * The extensions of one PostgreSQL server.
 *
 * The construct grants the provider what it needs (the secret, its key, `rds-db:connect`), opens the database's security
 * group for it, and is ordered after the database, the secret's attachment and these grants, so that they are deleted
 * after it.
 */
export class PostgresExtensions extends Construct implements iam.IGrantable {
  /** The function that reconciles the extensions. */
  public readonly provider: IPostgresExtensionsProvider;

  /** What is granted to this construct is granted to the function's role, before the extensions are reconciled. */
  public readonly grantPrincipal: iam.IPrincipal;

  private readonly resource: cdk.CustomResource;
  private readonly names: Set<string>;
  private readonly listsOthers: boolean;

  constructor(scope: Construct, id: string, props: PostgresExtensionsProps) {
    super(scope, id);
    const refused: string[] = [];
    this.node.addValidation({ validate: () => [...problems(props), ...refused] });

    const database = props.cluster ?? props.instance;
    this.provider = props.provider ?? this.ownProvider(props);
    const endpoint = orRefused('cluster', refused, () => props.cluster?.clusterEndpoint) ?? props.instance?.instanceEndpoint;
    const usesIam = props.authentication === DatabaseAuthentication.IAM;
    const secret = props.secret ?? (usesIam ? undefined : secretOf(database));

    const extensions = props.extensions ?? {};
    this.names = new Set(Object.keys(extensions).map((name) => name.toLowerCase()));
    this.listsOthers = '*' in extensions || props.extensionsFrom !== undefined;

    const principal = new RolePrincipal(this, this.provider);
    this.grantPrincipal = principal;
    this.resource = new cdk.CustomResource(this, 'Resource', {
      serviceToken: this.provider.serviceToken,
      resourceType: 'Custom::PostgresExtensions',
      // What the CDK would refuse alone, `problems` has among the others.
      serviceTimeout: serviceTimeoutProblem(props.serviceTimeout) ? undefined : props.serviceTimeout,
      properties: {
        DBSecret: secret?.secretArn,
        PluginsMap: props.extensions && pluginsMap(extensions),
        PluginsFrom: props.extensionsFrom?.secretArn,
        Databases: props.databases,
        Host: props.host ?? endpoint?.hostname,
        Port: props.port ?? endpoint?.port,
        Username: props.username,
        Authentication: props.authentication,
        SslMode: props.sslMode,
        SslRootCert: props.sslRootCert,
        RemovalPolicy: props.removalPolicy,
        DowngradePolicy: props.downgradePolicy,
        DryRun: props.dryRun,
        Trigger: props.trigger,
      },
    });

    for (const read of [secret, props.extensionsFrom]) if (read) this.grantRead(read);
    const { username } = props;
    if (usesIam && username !== undefined && database) {
      orRefused('authentication', refused, () => database.grantConnect(this, username));
    }
    if (principal.policy) this.resource.node.addDependency(principal.policy);
    if (this.provider instanceof PostgresExtensionsProvider) {
      this.resource.node.addDependency(...this.provider._dependables);
    }
    const rules = database ? this.openSecurityGroups(database) : [];
    const parts = [database, secret].flatMap((construct) => (construct ? partsOf(construct) : []));
    const before: IDependable[] = [...rules, ...parts];
    if (before.length > 0) this.resource.node.addDependency(...before);
  }

  /**
   * The installed version of an extension. It is `mixed` where databases differ, `absent` where it is not installed.
   *
   * @param name of an extension that `extensions` names, in any case; any name where `*` or `extensionsFrom` is given
   */
  public version(name: string): string {
    const attribute = name.toLowerCase();
    if (!this.listsOthers && !this.names.has(attribute)) {
      throw new Error(
        `${this.node.path}: \`extensions\` does not name \`${name}\`, so that its version is not known: add it, with ` +
          'ExtensionVersion.ANY where any version will do',
      );
    }
    return this.resource.getAttString(attribute);
  }

  /** Whether anything was changed: `true` or `false`, as text. */
  public get changed(): string {
    return this.resource.getAttString('Changed');
  }

  /** What was changed, such as `created postgis 3.4.3; updated hstore 1.4 to 1.8`, or `none`. */
  public get changes(): string {
    return this.resource.getAttString('Changes');
  }

  /** What was installed before, such as `plpgsql 1.0`. */
  public get before(): string {
    return this.resource.getAttString('Before');
  }

  /** What is installed, such as `pgcrypto 1.3, plpgsql 1.0`. */
  public get after(): string {
    return this.resource.getAttString('After');
  }

  /** The server's version, such as `15.8`. */
  public get serverVersion(): string {
    return this.resource.getAttString('ServerVersion');
  }

  private ownProvider(props: PostgresExtensionsProps): PostgresExtensionsProvider {
    const database = (props.cluster ?? props.instance) as { vpc?: ec2.IVpc } | undefined;
    const vpc = props.vpc ?? database?.vpc;
    return PostgresExtensionsProvider.getOrCreate(this, { vpc, vpcSubnets: props.vpcSubnets });
  }

  /** Exactly what the function does: it reads the value, and decrypts it through Secrets Manager. */
  private grantRead(secret: secretsmanager.ISecret): void {
    const resource = secret.secretFullArn ?? `${secret.secretArn}-??????`;
    this.grantPrincipal.addToPrincipalPolicy(
      new iam.PolicyStatement({ actions: ['secretsmanager:GetSecretValue'], resources: [resource] }),
    );
    if (!secret.encryptionKey) return;
    this.grantPrincipal.addToPrincipalPolicy(
      new iam.PolicyStatement({
        actions: ['kms:Decrypt'],
        resources: [secret.encryptionKey.keyArn],
        conditions: {
          StringEquals: { 'kms:ViaService': `secretsmanager.${cdk.Aws.REGION}.${cdk.Aws.URL_SUFFIX}` },
        },
      }),
    );
  }

  /**
   * Allows the provider to connect, and gives the rules that do. Nothing else of a security group is depended on: the
   * function of an application, which may depend on the extensions, can have a rule there too.
   */
  private openSecurityGroups(database: IConstruct & ec2.IConnectable): IDependable[] {
    const { connections } = this.provider;
    const port = database.connections.defaultPort;
    if (!port) return [];
    // The rules make one stack depend on the other: the provider's on the database's, where it does so anyway, through
    // this construct or the VPC; else the database's on the provider's.
    const vpc = this.provider instanceof PostgresExtensionsProvider ? this.provider._vpc : undefined;
    const isProviders =
      cdk.Stack.of(this.provider) === cdk.Stack.of(this) ||
      (vpc !== undefined && cdk.Stack.of(vpc) === cdk.Stack.of(database));
    for (const source of connections.securityGroups) {
      for (const group of database.connections.securityGroups) {
        group.addIngressRule(source, port, RULE, isProviders);
        // The CDK warns of a rule for a group that allows everything.
        if (!source.allowAllOutbound) source.addEgressRule(group, port, RULE, !isProviders);
      }
    }
    const stack = cdk.Stack.of(this);
    const ids = (groups: ec2.ISecurityGroup[]) => groups.map((group) => JSON.stringify(stack.resolve(group.securityGroupId)));
    const providers = ids(connections.securityGroups);
    const databases = ids(database.connections.securityGroups);
    const joins = (one: string | undefined, other: string | undefined) =>
      providers.includes(JSON.stringify(stack.resolve(one))) && databases.includes(JSON.stringify(stack.resolve(other)));
    return [...connections.securityGroups, ...database.connections.securityGroups]
      .flatMap((group) => group.node.children)
      .filter(
        (rule) =>
          (rule instanceof ec2.CfnSecurityGroupIngress && joins(rule.sourceSecurityGroupId, rule.groupId)) ||
          (rule instanceof ec2.CfnSecurityGroupEgress && joins(rule.groupId, rule.destinationSecurityGroupId)),
      );
  }
}

/** The provider's role, with a policy for each construct: on removal it goes with its construct, and after it. */
class RolePrincipal implements iam.IPrincipal {
  public readonly grantPrincipal = this;
  public policy?: iam.Policy;
  public readonly assumeRoleAction: string;
  public readonly policyFragment: iam.PrincipalPolicyFragment;
  public readonly principalAccount?: string;

  constructor(
    private readonly scope: PostgresExtensions,
    private readonly provider: IPostgresExtensionsProvider,
  ) {
    const { grantPrincipal } = provider;
    this.assumeRoleAction = grantPrincipal.assumeRoleAction;
    this.policyFragment = provider.role ? grantPrincipal.policyFragment : new iam.PrincipalPolicyFragment({});
    this.principalAccount = grantPrincipal.principalAccount;
  }

  public addToPolicy(statement: iam.PolicyStatement): boolean {
    return this.addToPrincipalPolicy(statement).statementAdded;
  }

  public addToPrincipalPolicy(statement: iam.PolicyStatement): iam.AddToPrincipalPolicyResult {
    // Of a provider by its ARN alone nothing is known to grant to.
    if (!this.provider.role) return { statementAdded: true };
    this.policy ??= new iam.Policy(this.scope, 'Policy', { roles: [this.provider.role] });
    this.policy.addStatements(statement);
    return { statementAdded: true, policyDependable: this.policy };
  }
}

/** The secret of a database that the CDK created. */
function secretOf(database: IConstruct | undefined): secretsmanager.ISecret | undefined {
  return (database as { secret?: secretsmanager.ISecret } | undefined)?.secret;
}

/** What the CDK gives; what it refuses, about a database that was imported with less than is needed, is a problem. */
function orRefused<T>(property: string, refused: string[], give: () => T): T | undefined {
  try {
    return give();
  } catch (error) {
    refused.push(`\`${property}\`: ${(error as Error).message}`);
    return undefined;
  }
}

/** What the rules of security groups say of themselves. */
const RULE = 'PostgreSQL extensions';

const PARTS = [
  'AWS::RDS::DBCluster',
  'AWS::RDS::DBInstance',
  'AWS::SecretsManager::Secret',
  'AWS::SecretsManager::SecretTargetAttachment',
];

/** What must be there of a database or a secret; not its security groups, whose other rules do not matter here. */
function partsOf(construct: IConstruct): IDependable[] {
  return construct.node
    .findAll()
    .filter((child) => cdk.CfnResource.isCfnResource(child) && PARTS.includes(child.cfnResourceType));
}

function pluginsMap(extensions: { [name: string]: string | ExtensionVersion | ExtensionOptions }): Record<string, unknown> {
  const text = (version: string | ExtensionVersion | undefined) =>
    version instanceof ExtensionVersion ? version.value : version;
  return Object.fromEntries(
    Object.entries(extensions).map(([name, entry]) => {
      if (typeof entry !== 'object' || entry === null || entry instanceof ExtensionVersion) return [name, text(entry)];
      const version = text(entry.version) ?? ExtensionVersion.ANY.value;
      return [name, entry.schema === undefined ? version : { Version: version, Schema: entry.schema }];
    }),
  );
}
