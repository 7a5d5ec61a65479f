#!/usr/bin/env bash
# Checks that a bootstrap starts on provided.al2023 and is small: no libssl, glibc 2.34 at most,
# zipped at most 4.5 MB.
set -euo pipefail
bootstrap=${1:?usage: tools/check_bootstrap.sh BOOTSTRAP}

needed=$(readelf --dynamic --wide "$bootstrap" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
if grep -E 'libssl|libcrypto' <<<"$needed"; then
    echo "$bootstrap links the system's OpenSSL, which Lambda's image does not have" >&2
    exit 1
fi
glibc=$(readelf --version-info --wide "$bootstrap" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)
if [ "$(printf '%s\nGLIBC_2.34\n' "$glibc" | sort -V | tail -n 1)" != GLIBC_2.34 ]; then
    echo "$bootstrap needs $glibc; provided.al2023 has 2.34" >&2
    exit 1
fi
zipped=$(python3 - "$bootstrap" <<'PYTHON'
import io, sys, zipfile
archive = io.BytesIO()
with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as zipped:
    zipped.write(sys.argv[1], "bootstrap")
print(len(archive.getvalue()))
PYTHON
)
if [ "$zipped" -gt 4500000 ]; then
    echo "$bootstrap is $zipped bytes when zipped: 4500000 at most" >&2
    exit 1
fi
echo "$bootstrap: needs $(tr '\n' ' ' <<<"$needed"), $glibc at most, $zipped bytes zipped"
