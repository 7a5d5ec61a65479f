// cdk-nag's pack AwsSolutions over templates in JSON: nag.cjs TEMPLATE... prints [[rule, template, logical id], ...].
// cdk-nag and the CDK are those that cdk/ is tested with.
const path = require('path');
const from = require('module').createRequire(path.join(__dirname, '..', 'cdk', 'package.json'));
const { App, Stack } = from('aws-cdk-lib');
const { CfnInclude } = from('aws-cdk-lib/cloudformation-include');
const { AwsSolutionsChecks } = from('cdk-nag');

const found = [];
for (const templateFile of process.argv.slice(2)) {
  const stack = new Stack(new App(), 'Stack');
  new CfnInclude(stack, 'Template', { templateFile });
  for (const { ruleName, violatingResources } of new AwsSolutionsChecks(stack).validateScope(stack).violations) {
    for (const { constructPath } of violatingResources) found.push([ruleName, templateFile, constructPath.split('/').pop()]);
  }
}
console.log(JSON.stringify(found));
