"""`python -m fleet_rlm.cli` is `fleet`."""

import sys

from fleet_rlm.cli.main import main

sys.exit(main())
