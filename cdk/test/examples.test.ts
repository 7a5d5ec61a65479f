import { execFileSync } from 'child_process';
import * as fs from 'fs';
import * as os from 'os';
import * as path from 'path';

const ROOT = path.join(__dirname, '..', '..');

/** The properties of the custom resource in a stack of an example, which runs as `cdk` runs it. */
function synthesized(example: string, stack: string): Record<string, unknown> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'example-'));
  const program = path.join(ROOT, 'build', 'examples', `${example}.js`);
  execFileSync(process.execPath, [program], { env: { ...process.env, CDK_OUTDIR: folder } });
  const { Resources } = JSON.parse(fs.readFileSync(path.join(folder, `${stack}.template.json`), 'utf8'));
  const resources: { Type: string; Properties: Record<string, unknown> }[] = Object.values(Resources);
  return resources.find(({ Type }) => Type === 'Custom::PostgresExtensions')?.Properties ?? {};
}

test('Aurora, as README.md has it', () => {
  const example = fs.readFileSync(path.join(ROOT, 'examples', 'aurora.ts'), 'utf8');
  expect(fs.readFileSync(path.join(ROOT, 'README.md'), 'utf8')).toContain(`\`\`\`typescript\n${example}\`\`\`\n`);
  expect(synthesized('aurora', 'Database')).toMatchObject({
    DBSecret: expect.anything(),
    PluginsMap: { postgis: '3.4.3', pgcrypto: 'any', vector: { Version: 'latest', Schema: 'tools' } },
  });
});

test('Aurora with IAM', () => {
  expect(synthesized('aurora-iam', 'Extensions')).toMatchObject({
    Authentication: 'IAM',
    Username: 'deployer',
    PluginsMap: { postgis: '3.4.3', pgcrypto: 'any', vector: { Version: 'latest', Schema: 'tools' } },
  });
});
