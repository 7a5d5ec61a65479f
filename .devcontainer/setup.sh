#!/usr/bin/env bash
# What `make demo`, `make test` and `make lint` need in the container, but for what they install themselves.
set -euo pipefail
cd "$(dirname "$0")/.."

sudo apt-get update -q
sudo DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    build-essential jq libssl-dev openssl perl pkg-config python3-venv
# PostgreSQL with PostGIS, without a cluster that is started, as the demo would install it.
python3 -c 'import sys; sys.path.insert(0, "tools"); import prerequisites; prerequisites.server()'
# The toolchain that rust-toolchain.toml names.
rustup show
make .venv
