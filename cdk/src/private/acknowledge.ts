import * as cdk from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';

/** Why findings of cdk-nag are none, finding to reason: for its version 3, and as metadata for its version 2. */
export function acknowledge(role: iam.Role, rule: string, findings: Record<string, string>): void {
  const entries = Object.entries(findings);
  if (entries.length === 0) return;
  for (const [finding, reason] of entries) {
    // Earlier releases of the CDK do not have it.
    cdk.Validations?.of(role).acknowledge({ id: `${rule}[${finding}]`, reason });
  }
  (role.node.defaultChild as iam.CfnRole).addMetadata('cdk_nag', {
    rules_to_suppress: entries.map(([finding, reason]) => ({ id: rule, reason, applies_to: [finding] })),
  });
}
