"""The order of checks, what a failure skips, and what the command ends with."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.doctor.check import (
    Check,
    Context,
    Finding,
    Result,
    Verdict,
    blocked,
    doubtful,
    failure,
    fine,
    needless,
)
from jrc.doctor.examine import examine
from jrc.doctor.plan import LOCAL, blockers, plan
from jrc.doctor.report import Report, duration, line, remedy_line, summary
from jrc.errors import AuthError, UnreachableError
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.profile.route import Route
from jrc.tasks import in_daemon_thread

pytestmark = pytest.mark.anyio

DIRECT = Profile("direct", "http://host:8888/")
TLS = Profile("tls", "https://host/")
KUBE = Profile("kube", "http://127.0.0.1:20000/", kubernetes=Route("c", "n", "svc/jupyter", 80))

GONE = failure(UnreachableError("It is gone.", hint="Look for it."))


async def _fine(_context: Context) -> Finding:
    return fine("Well.")


async def _gone(_context: Context) -> Finding:
    raise UnreachableError("It is gone.", hint="Look for it.")


async def _bug(_context: Context) -> Finding:
    raise ValueError("s3cret-of-a-bug")


async def _never(_context: Context) -> Finding:
    await asyncio.Event().wait()
    return fine("")


async def _hangs(_context: Context) -> Finding:
    import threading

    await in_daemon_thread(threading.Event().wait, name="doctor")
    return fine("")


async def made(*checks: Check) -> list[Result]:
    results: list[Result] = []
    async with AsyncExitStack() as stack:
        context = Context(Paths.from_environment(), None, stack)
        await examine(
            checks, context, results, on_start=lambda check: None, on_result=lambda result: None
        )
    return results


@pytest.mark.parametrize("profile", [None, DIRECT, TLS, KUBE], ids=str)
@pytest.mark.parametrize("known", [True, False])
def test_a_check_comes_after_what_it_needs(profile: Profile | None, known: bool) -> None:
    seen: set[str] = set()
    checks = (*LOCAL, *plan(profile, known=known))
    names = [check.name for check in checks]
    assert len(set(names)) == len(names)
    for check in checks:
        assert set(check.needs) & set(names) <= seen, check.name
        seen.add(check.name)
        assert check.deadline > 0


def test_each_kind_of_profile_has_its_checks() -> None:
    def names(profile: Profile | None) -> set[str]:
        return {check.name for check in plan(profile, known=True)}

    assert "tls" in names(TLS)
    assert "tls" not in names(DIRECT)
    assert {"kubectl", "context", "permissions", "pod", "tunnel"} <= names(KUBE)
    assert "dns" not in names(KUBE)
    assert "embedded-server" in names(None)
    assert "editor-kernelspecs" not in names(None)


def test_a_failure_is_the_reason_for_all_that_follow_from_it() -> None:
    found = {"a": GONE, "b": blocked(("a",)), "c": needless("no"), "d": doubtful("so so", "wait")}
    assert blockers(("a",), found) == ("a",)
    assert blockers(("b", "a"), found) == ("a",)
    assert blockers(("c", "d", "not made"), found) == ()


@given(st.lists(st.lists(st.integers(0, 9), max_size=3), max_size=10), st.sets(st.integers(0, 9)))
def test_reasons_are_failures_and_nothing_that_needs_one_is_made(
    needs: Sequence[list[int]], failing: set[int]
) -> None:
    """For any graph of needs among earlier checks."""
    found: dict[str, Finding] = {}
    for number, wanted in enumerate(needs):
        earlier = [str(need) for need in wanted if need < number]
        by = blockers(earlier, found)
        assert all(found[name].verdict is Verdict.FAILED for name in by)
        assert bool(by) == any(not found[name].passes for name in earlier)
        found[str(number)] = blocked(by) if by else GONE if number in failing else fine("")


async def test_what_depends_on_a_failure_is_skipped_and_the_rest_is_made() -> None:
    results = await made(
        Check("first", _gone),
        Check("second", _never, ("first",)),
        Check("third", _never, ("second",)),
        Check("other", _fine),
    )
    verdicts = [result.finding.verdict.value for result in results]
    assert verdicts == ["failed", "skipped", "skipped", "ok"]
    assert results[2].finding.message == "because first failed"
    assert results[0].finding.remedy == "Look for it."


@pytest.mark.parametrize("run", [_never, _hangs])
async def test_a_check_that_hangs_is_given_up(run: object) -> None:
    (result,) = await made(Check("slow", run, deadline=0.05, late="Wake it."))  # type: ignore[arg-type]
    assert result.finding.exit_code == 7
    assert result.finding.remedy == "Wake it."


async def test_a_bug_in_a_check_ends_that_check_alone() -> None:
    first, second = await made(Check("broken", _bug), Check("next", _fine))
    assert first.finding.exit_code == 70
    assert "s3cret" not in first.finding.message + first.finding.remedy
    assert second.finding.verdict is Verdict.OK
    assert list(Paths.from_environment().logs.glob("crash-*.log"))


def test_the_exit_code_is_that_of_the_first_failure() -> None:
    auth = failure(AuthError("No."))
    findings = [fine(""), doubtful("", ""), auth, GONE, blocked(("x",))]
    results = tuple(Result("x", finding, 0) for finding in findings)
    assert Report("1.0", None, "", "", 1.0, results).exit_code == 4
    assert Report("1.0", None, "", "", 1.0, results[:2]).exit_code == 0


def test_a_line_and_what_to_do_below_it() -> None:
    result = Result("tcp", GONE, 1.234)
    assert line(result) == "tcp                  1.2 s  It is gone."
    assert remedy_line(result).strip() == "→ Look for it."
    assert remedy_line(result).index("→") == len("failed   ") + line(result).index("It")
    assert "-  because" in line(Result("tls", blocked(("tcp",)), 0))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0031, "3 ms"), (0.9996, "1.0 s"), (9.96, "10 s"), (75, "75 s")]
)
def test_times(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_last_line_counts() -> None:
    results = (Result("a", GONE, 0), Result("b", fine(""), 0), Result("c", fine(""), 0))
    assert summary(results) == "2 ok, 1 failed."
    assert summary(results[1:]) == "Everything is fine."


def test_the_contract_of_json() -> None:
    report = Report("1.0", "team", "http://h/", "2026-01-01", 1.0, (Result("tcp", GONE, 0.5),))
    assert report.as_json() == {
        "format": 1,
        "jrc": "1.0",
        "profile": "team",
        "url": "http://h/",
        "started": "2026-01-01",
        "seconds": 1.0,
        "exit_code": 6,
        "checks": [
            {
                "name": "tcp",
                "verdict": "failed",
                "seconds": 0.5,
                "message": "It is gone.",
                "remedy": "Look for it.",
                "exit_code": 6,
                "because": [],
                "details": {},
            }
        ],
    }
