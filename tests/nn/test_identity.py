"""What tells one training run from another, in words."""

import numpy as np

import engine
import nn
from nn import identity


def _told(factor: object) -> object:
    optimizer = nn.SGD([engine.Value(1.0)], lr=0.1)
    return identity.of_scheduler(nn.LambdaLR(optimizer, factor))  # type: ignore[arg-type]


def test_functions_are_told_apart_by_what_they_define_inside() -> None:
    sums = [
        lambda k: sum(0.5 for _ in range(k)),
        lambda k: sum(0.25 for _ in range(k)),
        lambda k: sum(0.5 for _ in range(k)),
    ]
    first, other, again = map(_told, sums)
    assert first == again != other
    assert identity.difference(first, other).startswith("its lr_lambdas is ")


def test_no_schedule_is_none_and_one_is_told_by_its_settings() -> None:
    optimizer = nn.SGD([engine.Value(1.0)], lr=0.1)
    assert identity.of_scheduler(None) is None
    steps = [identity.of_scheduler(nn.StepLR(optimizer, size)) for size in (2, 2, 3)]
    assert steps[0] == steps[1] != steps[2]
    assert identity.difference(*steps[1:]) == "its step_size is '2', here it is '3'"


def test_a_difference_is_named_where_it_is() -> None:
    for saved, here, words in (
        ({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 2}}, ""),
        ({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}}, "its b, c is 2, here it is 3"),
        ({"a": [1, 2]}, {"a": [1, 4]}, "its a 1 is 2, here it is 4"),
        ({"a": [1, 2]}, {"a": [1]}, "its a is [1, 2], here it is [1]"),
        ({"a": 1}, {}, "its a is 1, here it is 'missing'"),
    ):
        assert identity.difference(saved, here) == words


def test_lists_of_equal_entries_are_told_by_their_number() -> None:
    class Sized(nn.Module):
        def __init__(self, sizes: list[int]) -> None:
            self.sizes = sizes

    told = [identity.of_module(Sized(sizes))[""] for sizes in ([4, 4], [4, 5], [4])]
    assert [words.partition("sizes=")[2].partition(")")[0] for words in told] == [
        "2 x 4",
        "[4, 5]",
        "[4]",
    ]


def test_the_same_numbers_in_another_shape_or_type_are_others() -> None:
    rows = np.arange(4.0)
    arrays = [rows.reshape(4, 1), rows.reshape(1, 4), rows, rows.astype(np.float32), rows + 1.0]
    assert len({*map(identity.of_array, arrays)}) == len(arrays)
    assert identity.of_array(rows) == identity.of_array(np.arange(8.0)[:4])
