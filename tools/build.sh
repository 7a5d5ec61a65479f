#!/usr/bin/env bash
# Builds the bootstrap for a processor, as `sam deploy` ships it, into a folder of this name in .aws-sam.
# The same sources give the same bytes, whatever the folders are called and the clock says.
set -euo pipefail
cd "$(dirname "$0")/.."
architecture=${1:?usage: tools/build.sh ARCHITECTURE}
for folder in "$PWD" "${CARGO_TARGET_DIR:-}" "${CARGO_HOME:-$HOME}"; do
    if [[ $folder == *[[:space:]]* ]]; then
        echo "tools/build.sh: \`$folder\` has a space, which RUSTFLAGS cannot hold: build in another folder" >&2
        exit 1
    fi
done
# OpenSSL is built with make too, which has its own variables and as many jobs as cargo gives it.
unset MAKEFLAGS MFLAGS

# Paths are in panics. Cargo's own flag would be lost by RUSTFLAGS: cargo-lambda's, which is the oldest
# processor that Lambda has.
export RUSTFLAGS="-C target-cpu=$([ "$architecture" = arm64 ] && echo neoverse-n1 || echo haswell)
    --remap-path-prefix=$PWD=/source
    --remap-path-prefix=${CARGO_TARGET_DIR:-$PWD/target}=/target
    --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
# OpenSSL has the date, its folders and the path of the compiler in it. Its Makefile takes other ones from GNU
# make's variable alone: openssl-src sets MAKEFLAGS.
export SOURCE_DATE_EPOCH=0
export GNUMAKEFLAGS='--eval=crypto/buildinf.h:CC=zig ENGINESDIR=/usr/lib/engines MODULESDIR=/usr/lib/ossl-modules'

export PATH="$PWD/.venv-tools/bin:$PATH" AWS_DEFAULT_REGION=eu-central-1
sam build --parameter-overrides "Architecture=$architecture" --build-dir ".aws-sam/$architecture"
tools/check_bootstrap.sh ".aws-sam/$architecture/Function/bootstrap"
