"""A secret shows itself only to who asks for it by name."""

import copy
import pickle
import traceback
from dataclasses import asdict, dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.profile.secret import Secret

VALUE = "t0p-s3cret-t0ken"


@dataclass(frozen=True)
class Holder:
    secret: Secret


@pytest.mark.parametrize(
    "text",
    [
        repr(Secret(VALUE)),
        str(Secret(VALUE)),
        f"{Secret(VALUE)}",
        f"{Secret(VALUE)!r:>40}",
        f"{Secret(VALUE):>40}",
        "%s" % Secret(VALUE),  # noqa: UP031  old formatting is what logging uses
        repr([Secret(VALUE)]),
        repr(Holder(Secret(VALUE))),
        repr(asdict(Holder(Secret(VALUE)))),
        repr(Secret(VALUE).__class__.__dict__),
    ],
)
def test_no_form_shows_it(text: str) -> None:
    assert VALUE not in text


def test_it_is_revealed_on_demand() -> None:
    assert Secret(VALUE).reveal() == VALUE


def test_a_traceback_with_its_locals_does_not_show_it() -> None:
    secret = Secret(str(VALUE))
    try:
        raise ValueError(f"refused {secret}")
    except ValueError as error:
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    assert VALUE not in "".join(shown.format())


@given(st.text(), st.text())
def test_equal_means_the_same_text(a: str, b: str) -> None:
    assert (Secret(a) == Secret(b)) is (a == b)
    assert Secret(a) != a
    assert hash(Secret(a)) == hash(Secret(str(a)))
    assert bool(Secret(a)) is bool(a)


def test_it_can_be_copied_but_not_pickled() -> None:
    secret = Secret(VALUE)
    assert copy.deepcopy([secret]) == [secret]
    assert copy.copy(secret) is secret
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="can't be pickled"):
            pickle.dumps(secret, protocol)


def test_it_has_no_dictionary_to_look_into() -> None:
    with pytest.raises(TypeError):
        vars(Secret(VALUE))
