#!/usr/bin/env bash
# Builds the release once more, where all is called otherwise, and compares its files with those of dist/:
# another folder, target folder, cargo home, cache of the compilers, umask, language and time zone.
# One processor's program is compiled; the other's is taken from dist/.
set -euo pipefail
cd "$(dirname "$0")/.."
architecture=${1:?usage: tools/reproduce.sh ARCHITECTURE}
other=$([ "$architecture" = arm64 ] && echo x86_64 || echo arm64)

folder=$(mktemp --directory)
trap 'rm -rf "$folder"' EXIT
umask 077
unset MAKEFLAGS MFLAGS
elsewhere=$folder/elsewhere
mkdir -p "$elsewhere" "$folder/cargo" "$folder/cache"
# The sources, with the tools and the crates that are here already. A test beside this may be writing its own
# files meanwhile, at which tar ends with 1.
{ tar --create --exclude=./{.git,.aws-sam,dist,target} --exclude='./.venv*' --exclude=node_modules . || [ $? = 1 ]; } |
    tar --extract --directory "$elsewhere"
ln -s "$PWD/.venv-tools" "$elsewhere/"
for one in registry bin config.toml; do
    if [ -e "${CARGO_HOME:-$HOME/.cargo}/$one" ]; then ln -s "${CARGO_HOME:-$HOME/.cargo}/$one" "$folder/cargo/"; fi
done
bootstrap=$elsewhere/.aws-sam/$other/Function
python3 -m zipfile --extract "dist/cfn-postgres-extensions-$other.zip" "$bootstrap"

export CARGO_HOME=$folder/cargo CARGO_TARGET_DIR=$folder/products XDG_CACHE_HOME=$folder/cache TZ=Asia/Tokyo LC_ALL=C
make --directory "$elsewhere" build "ARCHITECTURE=$architecture"
make --directory "$elsewhere" package
compared=() different=()
for file in dist/*; do
    if cmp "$file" "$elsewhere/$file"; then compared+=("$file"); else different+=("$file"); fi
done
if [ ${#different[@]} -gt 0 ]; then
    echo "other bytes: ${different[*]}" >&2
    exit 1
fi
echo "the same bytes: ${compared[*]} ($other's program was not compiled again)"
