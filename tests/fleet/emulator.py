"""ministack with Step Functions as AWS documents it, where ministack differs, and observed.

Run in place of `python -m ministack`. It replaces functions of ministack's Step Functions:

- A child of a Distributed Map has a context object of its own and sees no variable from outside,
  and a Map honours MaxConcurrencyPath.
- All of an `Assign` takes effect at once, and a branch's stays in the branch.
- The error of an aws-sdk task is named as the AWS SDK for Java 2 names its exception, with the
  errors of botocore's service models: `Rds.InvalidDbInstanceStateException`.
- An expression is parsed once, and has no time limit: AWS's is a second, but here many threads
  share a processor with all else that runs on the machine.
- With FLEET_ENDPOINT, every aws-sdk task and every `lambda:invoke` is a request to that address,
  signed as the state machine's role, or only those to FLEET_SERVICES (separated by commas).
  ministack would call its own code, and ask no policy.
- RDS asks policies for the names and tags of snapshots: see policies.py.

In the folder FLEET_RECORD it writes JSON lines: `evaluations-<pid>.jsonl`, which replay.mjs
reads, and `states-<pid>.jsonl`: of each state that was left its execution, sizes of input and
output in bytes, and attempts; of each call of a service the sizes of its arguments and its result.
FLEET_RECORD_LIMIT bounds the evaluations that are recorded of one expression.
"""

import collections
import contextvars
import copy
import functools
import hashlib
import json
import os
import re
import threading
import urllib.parse

import botocore.session
import jsonata
import policies  # noqa: F401
