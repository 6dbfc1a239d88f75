"""Property tests measure no time: a busy machine is no counterexample."""

from hypothesis import HealthCheck, settings

from tests.matrix.extent import FULL_PROFILE

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# Many real turns of four models, which only a new price list or a new Claude Code can change.
collect_ignore = [] if FULL_PROFILE else ["test_prices_of_claude_code.py"]
