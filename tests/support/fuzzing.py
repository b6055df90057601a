"""How much fuzzers try: little and always the same in a normal run, much in ``nox -s attacks``."""

from hypothesis import HealthCheck, Phase, settings

from tests.support.environment import ATTACKS


def examples(count: int) -> settings:
    """Settings for a fuzzer that tries so many examples in a normal run.

    Slow examples and large ones are no fault of a test whose input is meant to be such.
    """
    attack = ATTACKS > 1
    return settings(
        max_examples=count * ATTACKS,
        derandomize=not attack,
        print_blob=attack,
        deadline=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
