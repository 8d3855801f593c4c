"""`python -m sidecar` is `credential-sidecar`."""

import sys

from sidecar.cli import main

sys.exit(main())
