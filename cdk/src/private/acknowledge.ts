import * as cdk from 'aws-cdk-lib';
import { IConstruct } from 'constructs';

/** Why findings of cdk-nag are none: finding to reason. Earlier releases of the CDK cannot record that. */
export function acknowledge(construct: IConstruct, rule: string, findings: Record<string, string>): void {
  for (const [finding, reason] of Object.entries(findings)) {
    cdk.Validations?.of(construct).acknowledge({ id: `${rule}[${finding}]`, reason });
  }
}
