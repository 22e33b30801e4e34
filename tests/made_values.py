"""Strategies for the values that cross files, from what their types allow."""

import dataclasses
import functools
from typing import Any

from hypothesis import strategies as st
from msgspec import inspect

from rtl.config import CoreConfig
from rtl.coreset import CoreSet
from synth.profile import HardwareProfile, LayerCost
from synth.report import CoreReport

BIG = 2**53  # of whole numbers, which other readers of JSON hold exactly
HUGE = 1e300  # of numbers, so that their sum is one
WORDS = st.text(max_size=8)


@functools.cache
def made(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type as msgspec reads it."""
    return _made(inspect.type_info(kind))


def configs() -> st.SearchStrategy[CoreConfig]:
    return st.builds(
        CoreConfig,
        lanes=st.integers(1, 61),
        drain=st.integers(1, 2),
        coding=st.sampled_from(("relative", "absolute", "bitmask")),
        clock_ns=st.floats(0.1, 10),
    )


@st.composite
def reports(draw: st.DrawFn) -> CoreReport:
    """The blocks of a core add up to its logic."""
    fields = {
        field.name: draw(made(field.type))
        for field in dataclasses.fields(CoreReport)
        if field.name not in ("config", "logic_um2", "blocks_um2")
    }
    blocks = draw(st.dictionaries(WORDS, st.floats(1, 1e6), min_size=1, max_size=3))
    area = sum(blocks.values())
    return CoreReport(config=draw(configs()), logic_um2=area, blocks_um2=blocks, **fields)


def _made(found: Any) -> st.SearchStrategy[Any]:
    match found:
        case inspect.IntType(ge=ge, le=le, gt=gt):
            low = gt + 1 if gt is not None else ge
            return st.integers(-BIG if low is None else low, BIG if le is None else le)
        case inspect.FloatType(ge=ge, le=le, gt=gt):
            low = gt if gt is not None else -HUGE if ge is None else ge
            return st.floats(low, HUGE if le is None else le, exclude_min=gt is not None)
        case inspect.StrType():
            return WORDS
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
        case inspect.AnyType():
            return WORDS | st.none()
        case inspect.LiteralType(values=choices):
            return st.sampled_from(choices)
        case inspect.UnionType(types=several):
            return st.one_of(*map(_made, several))
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(_made(key), _made(value), max_size=2)
        case inspect.VarTupleType(item_type=item):
            return st.lists(_made(item), max_size=2).map(tuple)
        case inspect.ListType(item_type=item):
            return st.lists(_made(item), max_size=2)
        case inspect.TupleType(item_types=items):
            return st.tuples(*map(_made, items))
        case inspect.DataclassType(cls=cls) if cls is CoreReport:
            return reports()
        case inspect.DataclassType(cls=cls) if cls is CoreConfig:
            return configs()
        case inspect.DataclassType(cls=cls) if cls is CoreSet:
            return st.just(CoreSet())
        case inspect.DataclassType(cls=cls, fields=fields) if cls is HardwareProfile:
            free = {field.name: _made(field.type) for field in fields}
            layers = st.lists(made(LayerCost), max_size=2, unique_by=lambda layer: layer.name)
            basis = st.fixed_dictionaries(
                dict.fromkeys(("against", "sram_model", "weights"), WORDS)
            )
            return st.builds(cls, **free | {"layers": layers.map(tuple), "basis": basis})
        case inspect.StructType(cls=cls, fields=fields):
            return st.builds(cls, **{field.name: _made(field.type) for field in fields})
        case inspect.DataclassType(cls=cls, fields=fields):
            return st.builds(cls, **{field.name: _made(field.type) for field in fields})
    raise AssertionError(f"no strategy for {found}")
