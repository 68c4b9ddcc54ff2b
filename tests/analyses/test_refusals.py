"""What is wrong with parameters, in sentences: also with those of an analysis that a lab has written."""

import datetime
import decimal
from typing import Annotated, Any, Literal

import pydantic
import pytest
from pydantic import Field

from dlc_jupyter.analyses.base import Analysis, find_analysis
from dlc_jupyter.analyses.base import Parameters as BaseParameters
from dlc_jupyter.errors import BadRequest


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError


class Lab(Analysis):
    name = "lab"

    class Parameters(BaseParameters):
        day: Annotated[datetime.date | None, Field(ge=datetime.date(2020, 1, 1))] = None
        wait: Annotated[datetime.timedelta | None, Field(gt=datetime.timedelta(seconds=5))] = None
        count: Annotated[int, Field(ge=1_234_567, le=10**9)] = 10**9
        rate: Annotated[float, Field(lt=2_000_000.5, gt=1e-7)] = 1.0
        share: Annotated[decimal.Decimal, Field(ge=decimal.Decimal("1.5"))] = decimal.Decimal(2)
        begun: pydantic.PastDatetime | None = None
        word: Annotated[str, Field(min_length=1, max_length=5)] = "x"
        pair: Annotated[list[int], Field(min_length=1, max_length=2)] = Field(default_factory=lambda: [1])
        numbers: Annotated[set[int], Field(max_length=1)] = Field(default_factory=set)
        kind: Literal["this or that", "it's", "a, b", 3] = 3
        board: str = ""


def errors(values: dict[str, Any]) -> list[dict[str, str]]:
    with pytest.raises(BadRequest) as refused:
        Lab.validate(values)
    found: list[dict[str, str]] = refused.value.fields["errors"]
    return found


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("day", "2019-01-01", "It must be at least 2020-01-01, not '2019-01-01'."),
        ("wait", 1, "It must be greater than 5 seconds, not "),
        ("count", 5, "It must be at least 1234567, not 5."),
        ("count", 2 * 10**9, "It must be at most 1000000000, not 2000000000."),
        ("rate", 3e6, "It must be less than 2000000.5, not 3000000.0."),
        ("rate", 0, "It must be greater than 1e-07, not 0."),
        ("share", "1", "It must be at least 1.5, not '1'."),
        ("begun", "2999-01-01T00:00:00Z", "should be in the past"),
        ("begun", "long ago", "'long ago' is no date with a time"),
        ("word", "", "It must have at least 1 character."),
        ("word", "longer", "It must have at most 5 characters."),
        ("pair", [], "1 value is wanted at least, not 0."),
        ("pair", [1, 2, 3], "2 values are wanted at most, not 3."),
        ("numbers", [1, 2], "1 value is wanted at most."),
        ("kind", "x", "'x' is not possible. There are: this or that, it's, a, b, 3."),
        ("count", Unprintable(), "valid integer"),
    ],
)
def test_of_every_type_the_bound_is_said_as_it_is(field, value, says):
    [error] = errors({field: value})
    assert error["field"] == field
    assert says in error["message"]


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("A camera cannot be called 'board/': use letters.", ""),
        ('There is no "board" among the words.', ""),
        ("DeepLabCut's own kind knows no 'board': leave it out.", "kind"),
        ("Say how large it is: count=30, for example.", "count"),
        ("word and pair do not go together.", "word"),
        ("Nothing of it is known.", ""),
    ],
)
def test_what_somebody_has_given_is_not_taken_for_the_name_of_a_parameter(monkeypatch, message, field):
    class Strict(Lab.Parameters):
        @pydantic.model_validator(mode="after")
        def _never(self) -> None:
            raise ValueError(message)

    monkeypatch.setattr(Lab, "Parameters", Strict)
    assert errors({}) == [{"field": field, "message": message}]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"cameras": {"left": "1a", "board/": "2b"}}, "cameras"),
        ({"cameras": {"floor": "1a", "floor_filtered": "2b"}}, "cameras"),
        ({"names": ["rows", "rows_filtered"], "method": "import"}, "names"),
        ({"names": ["a", "scene"], "method": "import"}, "names"),
        ({"size": [640, 480]}, "size"),
        ({"names": ["a", "b"]}, "names"),
        ({"unit": "rows"}, "square"),
    ],
)
def test_what_is_wrong_with_cameras_is_said_of_the_parameter_that_names_them(values, field):
    with pytest.raises(BadRequest) as refused:
        find_analysis("calibrate").validate({"columns": 8, "rows": 5, **values})
    assert [each["field"] for each in refused.value.fields["errors"]] == [field]
