"""Whether everything is tried, or what fits into the time of an ordinary test run."""

import os

FULL_PROFILE = os.environ.get("ACP_TEST_PROFILE") == "full"
