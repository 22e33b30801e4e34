"""CoreSet: the cores that are measured against each other, each in its role.

Its file form is TOML, a table for each core:

    schema = 1

    [sparse]
    lanes = 32

    [dense_scalar]
    lanes = 32

    [[candidates]]
    lanes = 24
    coding = "bitmask"

A role that is not in the file has its default cores (`candidates = []` means none), a field that is
not there is that of `base`, and `act_banks` are then the fewest that feed the lanes.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cosign import CosignError, atomic_write, read_toml, values
from rtl.config import CoreConfig
from rtl.program.fit import feed

SCHEMA = 1
KINDS = {
    "dense": "dense-2d",
    "dense_scalar": "dense-scalar",
    "sparse": "sparse",
    "candidates": "sparse",
    "rows": "sparse-rows",
    "structured": "sparse-nm",
    "packed": "dense-packed",
}
"""The roles, and what kind of core is in each."""

_SEVERAL = ("candidates", "rows", "structured", "packed")
_FIELDS = tuple(known.name for known in dataclasses.fields(CoreConfig))


def base(kind: str) -> CoreConfig:
    """The core of that kind (`core` of CoreConfig) where nothing else is said.

    The sparse core has two requantisers: a filter pruned 40 times leaves 44 entries of AlexNet's
    CONV4, and 61 results must be drained in that time. A dense core needs one.
    """
    dense = CoreConfig("dense-2d", lanes=8, filters=8, act_banks=4, act_depth=10240)
    return {
        "sparse": CoreConfig("sparse", drain=2),
        "dense-scalar": CoreConfig("dense-scalar"),
        "dense-2d": dense,
        "dense-packed": dataclasses.replace(dense, core="dense-packed", mask_bits=8),
        "sparse-rows": dataclasses.replace(dense, core="sparse-rows", window_span=3),
        "sparse-nm": feed(dense, core="sparse-nm", filters=4, act_depth=5120),
    }[kind]


def _candidates() -> tuple[CoreConfig, ...]:
    """Both codings: distances, which are short streams when few weights are left, and a bitmask,
    which takes less memory as long as many are. 61, 46 and 34 lanes are three, four and five tiles
    of AlexNet's CONV4; 91 are for weights on chip, where the logic is small beside the SRAM."""
    sizes = {"relative": (46, 34), "bitmask": (61, 46, 34, 91)}
    return tuple(
        feed(base("sparse"), lanes=lanes, coding=coding)
        for coding, several in sizes.items()
        for lanes in several
    )


def _rows() -> tuple[CoreConfig, ...]:
    """Sizes around dense-2d's, on eight pixels as it is."""
    return tuple(feed(base("sparse-rows"), filters=filters) for filters in (6, 8, 12))


@dataclass(frozen=True)
class CoreSet:
    """Cores with the same job, by what each is there for; `CoreSet()` are the default ones.

    Parameters
    ----------
    dense : dense-2d or dense-dot, the rival that break-even is quoted against; its area is the
        limit
    dense_scalar : dense-scalar, the rival with as many multipliers as `sparse`
    sparse : executes the network, and stands against `dense_scalar`
    candidates : further sparse cores; of these and `sparse` the fastest counts that is no larger
        than `dense`
    rows : sparse-rows cores, likewise, where the conventional sparse array is measured
    structured : sparse-nm cores, for layers that are pruned to their pattern
    packed : dense-packed cores, where dense with compressed weights is measured

    Raises CosignError when a core is of another kind than its role's, two have the same name, or
    `sparse` and `dense_scalar` differ in their multipliers.
    """

    dense: CoreConfig = field(default_factory=lambda: base("dense-2d"))
    dense_scalar: CoreConfig = field(default_factory=lambda: base("dense-scalar"))
    sparse: CoreConfig = field(default_factory=lambda: base("sparse"))
    candidates: tuple[CoreConfig, ...] = field(default_factory=_candidates)
    rows: tuple[CoreConfig, ...] = field(default_factory=_rows)
    structured: tuple[CoreConfig, ...] = field(default=(), metadata=values.LATER)
    packed: tuple[CoreConfig, ...] = field(default=(), metadata=values.LATER)

    def __post_init__(self) -> None:
        roles: dict[str, str] = {}  # by the cores' names
        for role, core in self._by_role():
            if core.core != KINDS[role] and not (role == "dense" and core.dot):
                raise CosignError(f"{role}: a {core.core} core, must be {KINDS[role]}.")
            if core.name in roles:
                raise CosignError(
                    f"{roles[core.name]} and {role} both have a core {core.name}; give each name "
                    "once, a role that is not given has its default cores."
                )
            roles[core.name] = role
        if self.sparse.multipliers != self.dense_scalar.multipliers:
            raise CosignError(
                f"sparse has {self.sparse.multipliers} multipliers, dense_scalar "
                f"{self.dense_scalar.multipliers}; give both the same lanes and tiles, and the one "
                "as many lanes as the other has in all its streams: they are compared with equal "
                "multipliers."
            )

    def _by_role(self) -> list[tuple[str, CoreConfig]]:
        found: list[tuple[str, CoreConfig]] = []
        for role in KINDS:
            value = getattr(self, role)
            found += [(role, core) for core in (value if role in _SEVERAL else (value,))]
        return found

    @property
    def cores(self) -> tuple[CoreConfig, ...]:
        """All of them, role by role."""
        return tuple(core for _, core in self._by_role())

    @property
    def sized(self) -> tuple[CoreConfig, ...]:
        """The sparse cores of which the fastest that fits counts: `sparse` and `candidates`."""
        return (self.sparse, *self.candidates)

    def for_activations(self, bits: int) -> "CoreSet":
        """Each core as `CoreConfig.for_activations` has it."""

        def changed(role: str) -> Any:
            cores = getattr(self, role)
            if role not in _SEVERAL:
                return cores.for_activations(bits)
            return tuple(core.for_activations(bits) for core in cores)

        return dataclasses.replace(self, **{role: changed(role) for role in KINDS})

    @property
    def hash(self) -> str:
        """12 hex digits of all cores in their roles."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def named(self, name: str) -> CoreConfig:
        """The core in a role that has only one, or of a name (`sparse-46-bitmask`).

        Raises CosignError when there is none.
        """
        single = {role: core for role, core in self._by_role() if role not in _SEVERAL}
        known = single | {core.name: core for core in self.cores}
        if name not in known:
            raise CosignError(f"no core {name!r}; there are {', '.join(known)}.")
        return known[name]

    def to_json(self) -> dict[str, Any]:
        """The file form as a value, all fields of all cores."""
        return {"schema": SCHEMA, **values.plain(self)}

    @classmethod
    def from_json(cls, value: Any) -> "CoreSet":
        """The cores that the file form says. Raises CosignError on what it does not know."""
        if not isinstance(value, Mapping):
            raise CosignError(f"cores are tables by role, not {value!r}.")
        given = dict(value)
        schema = given.pop("schema", None)
        if schema != SCHEMA:
            raise CosignError(
                f"cores have schema {schema}, this version reads {SCHEMA}; begin the file with "
                f"`schema = {SCHEMA}`."
            )
        if strange := [role for role in given if role not in KINDS]:
            raise CosignError(f"{strange[0]!r} is no role of a core; roles are {', '.join(KINDS)}.")
        return cls(**{role: _in_role(role, cores) for role, cores in given.items()})

    @classmethod
    def read(cls, path: Path) -> "CoreSet":
        """The cores of a TOML file. Raises CosignError."""
        value = read_toml(path)
        try:
            return cls.from_json(value)
        except CosignError as error:
            raise CosignError(f"{path}: {error}") from error

    def write(self, path: Path) -> None:
        """Leave the TOML file of which `read` makes an equal set."""
        with atomic_write(path) as file:
            file.write(self.to_toml().encode())

    def to_toml(self) -> str:
        """The text of the file form."""
        none = [f"{role} = []" for role, cores in values.plain(self).items() if not cores]
        blocks = ["\n".join([f"schema = {SCHEMA}", *none])]
        for role, core in self._by_role():
            # TOML writes numbers and plain words as JSON does.
            fields = [f"{k} = {json.dumps(v)}" for k, v in values.plain(core).items()]
            blocks.append("\n".join([_heading(role), *fields]))
        return "\n\n".join(blocks) + "\n"


def _heading(role: str) -> str:
    """The line above the fields of a core."""
    return f"[[{role}]]" if role in _SEVERAL else f"[{role}]"


def _in_role(role: str, value: Any) -> Any:
    """What the file form says of a role, as the field of a CoreSet."""
    if role not in _SEVERAL:
        return _core(role, value)
    if not isinstance(value, list | tuple):
        raise CosignError(f"{role} are a list of cores; write each below a line {_heading(role)}.")
    return tuple(_core(role, fields) for fields in value)


def _core(role: str, fields: Any) -> CoreConfig:
    if not isinstance(fields, Mapping):
        raise CosignError(f"{role}: the fields of a core belong below a line {_heading(role)}.")
    for name, value in fields.items():
        if name not in _FIELDS:
            raise CosignError(f"{role}: {name!r} is no field of a core.")
        if isinstance(value, int) and value.bit_length() > 63:  # too long to be told
            raise CosignError(f"{role}: {name} is too large a number.")
    start = base(KINDS[role])
    try:
        if "act_banks" in fields:
            return dataclasses.replace(start, **fields)
        return feed(start, **fields)
    except CosignError as error:
        raise CosignError(f"{role}: {error}") from error
