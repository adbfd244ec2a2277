"""Arrays of records: NumPy rearranges them, their class computes, and nothing else does."""

import numpy as np
import pytest

from gradparity.truth.numbers.records import Records

DTYPE = np.dtype([("left", "f8"), ("draws", np.longdouble, (3,))])


class Both(Records):
    """One number, and the same one three times over."""

    def like(self, values):
        values = np.asarray(values, np.longdouble)
        out = np.zeros(values.shape, DTYPE)
        out["left"], out["draws"] = values, values[..., None]
        return out.view(Both)


def by_parts(function):
    def handler(*operands, **options):
        operands = np.broadcast_arrays(*operands)
        left = function(*(x["left"] for x in operands), **options)
        draws = function(*(x["draws"] for x in operands), **options)
        out = np.zeros(left.shape, DTYPE)
        out["left"], out["draws"] = left, draws
        return out.view(Both)

    return handler


def at(a, where, b):
    np.add.at(a["left"], where, b["left"])
    np.add.at(a["draws"], where, b["draws"])


Both.ufuncs = {
    "add": by_parts(np.add), "multiply": by_parts(np.multiply), "negative": by_parts(np.negative), "add.at": at,
    "add.reduce": by_parts(np.add.reduce), "less": lambda a, b: a["left"] < b["left"],
    "equal": lambda a, b: a["left"] == b["left"],
}  # fmt: skip
Both.functions = {np.cumsum: lambda a, axis=None: by_parts(np.cumsum)(a, axis=axis)}


def both(values):
    return Both.like(None, values)


def same(records, values):
    assert type(records) is Both
    np.testing.assert_array_equal(records["left"], values)
    np.testing.assert_array_equal(records["draws"], np.asarray(values)[..., None] * np.ones(3))


NUMBERS = np.arange(12.0).reshape(3, 4)

REARRANGED = [
    lambda a: a[1], lambda a: a[1, 2], lambda a: a[()], lambda a: a[a.shape[0] - 1 :: -2, None], lambda a: a.T,
    lambda a: a[[0, 2, 0]], lambda a: a[NUMBERS > 4], lambda a: a.reshape(2, 6), lambda a: a.ravel(), np.ravel,
    lambda a: np.broadcast_to(a, (2, 3, 4)), lambda a: np.swapaxes(a, 0, 1), lambda a: np.transpose(a, (1, 0)),
    lambda a: np.concatenate([a, a], axis=1), lambda a: np.concatenate([a, NUMBERS]),
    lambda a: np.stack([a, a], axis=-1), lambda a: np.stack([NUMBERS, a]), lambda a: np.where(NUMBERS > 3, a, a[::-1]),
    lambda a: np.where(NUMBERS > 3, a, 0), lambda a: np.where(NUMBERS > 3, NUMBERS, a), np.flip,
    lambda a: np.roll(a, 2, 1), lambda a: np.tile(a, (2, 1)),
    lambda a: np.repeat(a, 2, axis=0), lambda a: np.take(a, [1, 1, 0], axis=1), lambda a: np.moveaxis(a, 0, -1),
    lambda a: np.take_along_axis(a, np.argsort(-NUMBERS, 1), 1), lambda a: np.diagonal(a), lambda a: np.rot90(a),
    lambda a: np.split(a, 2, axis=1)[1], lambda a: np.expand_dims(a, 1), lambda a: np.squeeze(a[None]), np.zeros_like,
    lambda a: np.hstack([a, a]), lambda a: np.vstack([a, NUMBERS]), lambda a: np.column_stack([a, a]),
    lambda a: a.copy(), lambda a: np.broadcast_arrays(a, NUMBERS[None])[0], lambda a: next(iter(a)), np.atleast_2d,
]  # fmt: skip


@pytest.mark.parametrize("rearrange", REARRANGED)
def test_every_rearrangement_is_that_of_plain_numbers(rearrange):
    same(rearrange(both(NUMBERS)), rearrange(NUMBERS))


COMPUTED = [
    lambda a: a + a, lambda a: a + NUMBERS, lambda a: NUMBERS + a, lambda a: 2 + a, lambda a: np.longdouble(2) * a,
    lambda a: np.float64(3) * a, lambda a: a * 2, lambda a: -a, lambda a: np.negative(a), lambda a: a + a[0],
    lambda a: a[1, 1] + a[0, 2], lambda a: a[1, 1] * 2, lambda a: NUMBERS[0] * a[:, :1], lambda a: np.sum(a, axis=1),
    lambda a: a.sum(axis=0), lambda a: np.add.reduce(a, axis=(0,)), lambda a: np.cumsum(a, axis=1),
    lambda a: np.sum(a, axis=0, keepdims=True),
]  # fmt: skip


@pytest.mark.parametrize("compute", COMPUTED)
def test_what_the_class_has_a_handler_for_is_computed_whatever_stands_beside_the_records(compute):
    same(compute(both(NUMBERS)), compute(NUMBERS))


def test_comparisons_are_the_handlers_and_not_numpys_part_by_part():
    a = both(NUMBERS)
    a["draws"][0, 0, 0] = 99
    np.testing.assert_array_equal(a == NUMBERS, np.ones((3, 4), bool))
    np.testing.assert_array_equal(a < 5, NUMBERS < 5)
    assert type(a < 5) is np.ndarray


@pytest.mark.parametrize(
    "compute", [np.exp, lambda a: a - a, lambda a: a / a, lambda a: a != a, np.linalg.inv, np.mean, lambda a: a @ a.T]
)
def test_what_it_has_none_for_is_refused(compute):
    with pytest.raises(TypeError):
        compute(both(np.eye(3)))


def test_parts_are_views_and_elements_can_be_set():
    a = both(NUMBERS)
    a[0] = 7
    a[1, 1] = a[2, 2]
    a["left"][2] += 1
    assert a["left"].tolist() == [[7, 7, 7, 7], [4, 10, 6, 7], [9, 10, 11, 12]]
    assert type(a["left"]) is np.ndarray
    assert a["draws"].shape == (3, 4, 3)


def test_sums_in_place_and_at_places():
    a = both(NUMBERS[0])
    a += 1
    same(a, NUMBERS[0] + 1)
    np.add.at(a, [0, 0, 3], both([1.0, 2.0, 4.0]))
    same(a, [4, 2, 3, 8])
