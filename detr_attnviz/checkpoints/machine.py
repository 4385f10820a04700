"""The stack machine of pickles, of every protocol, on names in place of things.

Texts, numbers, tuples and lists stand for themselves, all else for a name. Nothing is imported, called or hashed, and
no text is made of anything but a text: there is nothing that a pickle could make happen.
"""

import pickletools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from detr_attnviz.checkpoints.asked import HAVE_STATE, PLAIN, Named, is_usual_call, printable
from detr_attnviz.checkpoints.claims import MisleadingError, Storage, check_tensor, part_of, storage_of

MOST_STEPS = 1_000_000
"""A detector with its optimizer takes some ten thousand."""

MOST_COPIED = 1 << 26
"""Letters, bytes and entries that calls copy; what is remembered could be copied again and again."""

_MOST_DEPTH = 50
_MOST_PARTS = 64  # of a key, tuples in it taken apart: Python hashes them by going through all
_MOST_STRANGE_KEYS = 1000
_LONG = 1 << 61  # from here on, numbers can be chosen that all want one place in a dictionary


class DamagedError(ValueError):
    """A pickle that no program would write, or one that is cut off; the message says how."""


class Machine:
    """``play`` it a pickle; then ``asked`` has the names beyond plain weights, ``storages`` those that tensors name."""

    def __init__(self) -> None:
        self.asked: set[str] = set()
        self.storages: dict[str, Storage] = {}
        self.tensor_bytes = 0
        self.result: object = None
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._parts: dict[str, Storage] = {}
        self._strange_keys = 0
        self._copied = 0

    def play(self, file: Any) -> None:
        """Every step of the pickle in ``file``, which has ``read`` and ``readline``.

        Raises: DamagedError, MisleadingError, or whatever pickletools and an empty stack raise.
        """
        for number, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if number >= MOST_STEPS:
                raise MisleadingError(f"a pickle of more than {MOST_STEPS:,} steps; no detector's has as many")
            _STEPS[opcode.name](self, argument)
        self.result = self._pop()

    def push(self, value: object) -> None:
        self._stack.append(value)

    def row(self, count: int) -> None:
        """A tuple of the last so many."""
        start = len(self._stack) - count
        if start < self._floor:
            raise DamagedError("takes more from the stack than there is")
        self._marks.append(start)
        self.marked_row()

    def marked_row(self, argument: object = None) -> None:
        self.push(_Row.of(self._pop_marked()))

    def marked_list(self, argument: object) -> None:
        self.push(self._pop_marked())

    def append(self, argument: object) -> None:
        self._extend([self._pop()])

    def append_marked(self, argument: object) -> None:
        self._extend(self._pop_marked())

    def set_item(self, argument: object) -> None:
        self._pop()
        self._check_keys([self._pop()])

    def set_marked(self, argument: object) -> None:
        self._check_keys(self._pop_marked()[::2])

    def add_marked(self, argument: object) -> None:
        self._check_keys(self._pop_marked())

    def drop_marked(self, argument: object) -> None:
        self._pop_marked()

    def mark(self, argument: object) -> None:
        self._marks.append(len(self._stack))

    def drop(self, argument: object) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._pop()

    def double(self, argument: object) -> None:
        self.push(self._stack[-1])

    def remember(self, place: Any) -> None:
        self._memo[len(self._memo) if place is None else place] = self._stack[-1]

    def recall(self, place: Any) -> None:
        self.push(self._memo[place])

    def name(self, argument: Any) -> None:
        self._name(*argument.split(" ", 1))

    def name_by_stack(self, argument: object) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise DamagedError("asks for what has no name")
        self._name(module, name)

    def name_by_number(self, argument: object) -> None:
        self._name("copyreg", f"extension {argument}")

    def call(self, argument: object) -> None:
        args = self._pop()
        self.push(self._called(self._pop(), args))

    def call_with_options(self, argument: object) -> None:
        self._pop()
        self.call(argument)

    def call_marked(self, argument: object) -> None:
        function, *args = self._pop_marked()
        self.push(self._called(function, _Row.of(args)))

    def name_and_call(self, argument: object) -> None:
        args = self._pop_marked()
        self.name(argument)
        self.push(self._called(self._pop(), _Row.of(args)))

    def give_state(self, argument: object) -> None:
        self._pop()
        whom = self._stack[-1]
        if not isinstance(whom, Named) or not whom.is_made or whom.name not in HAVE_STATE:
            self._refuse(whom, "with a state of its own")

    def storage(self, argument: object) -> None:
        """By ("storage", class, key, device, items), and in the oldest files a part of it."""
        told = self._pop()
        if not isinstance(told, tuple) or len(told) not in (5, 6) or told[0] not in ("storage", b"storage"):
            raise MisleadingError("what lies beside the pickle is not named as a storage")
        claimed = storage_of(told[1].name if isinstance(told[1], Named) else "no class", told[2], told[4])
        first = self.storages.setdefault(claimed.key, claimed)
        if claimed.size_bytes != first.size_bytes or claimed.key in self._parts:
            raise MisleadingError(f"storage {printable(claimed.key)} is claimed in two sizes")
        self.push(first if len(told) == 5 or told[5] is None else self._part(first, told[5]))

    def refuse(self, argument: object) -> None:
        raise DamagedError("refers to what is not in the file")

    def nothing(self, argument: object) -> None:
        """For what frames a pickle."""

    @property
    def _floor(self) -> int:
        return self._marks[-1] if self._marks else 0

    def _pop(self) -> Any:
        if len(self._stack) <= self._floor:
            raise DamagedError("takes more from the stack than there is")
        return self._stack.pop()

    def _pop_marked(self) -> list[Any]:
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def _extend(self, values: list[Any]) -> None:
        if isinstance(self._stack[-1], list):
            self._stack[-1].extend(values)

    def _part(self, storage: Storage, view: object) -> Storage:
        key, part = part_of(storage, view)
        if key in self.storages or self._parts.setdefault(key, part) != part:
            raise MisleadingError(f"the part {printable(key)} of a storage is told in two ways")
        return part

    def _check_keys(self, keys: Iterable[object]) -> None:
        for key in keys:
            if isinstance(key, (str, bytes, float)) or key is None or (isinstance(key, int) and abs(key) < _LONG):
                continue
            self._strange_keys += 1
            if self._strange_keys > _MOST_STRANGE_KEYS or (isinstance(key, _Row) and key.parts > _MOST_PARTS):
                raise MisleadingError("its dictionaries have keys that Python takes for ever to tell apart")

    def _name(self, module: str, name: str) -> None:
        whole = f"{module}.{name}".replace("__builtin__.", "builtins.", 1)
        if not PLAIN.fullmatch(whole):
            self.asked.add(printable(whole))
        self.push(Named(whole))

    def _called(self, function: object, args: object) -> object:
        if not isinstance(function, Named) or function.is_made or not isinstance(args, tuple):
            if not self.asked:  # else the call is of something that was asked for, and has a name
                raise DamagedError("calls what is no function")
            return Named("what that gave", is_made=True)
        name = function.name
        if name.startswith("torch._utils._rebuild_tensor"):
            has_own = name.endswith("_v3") and len(args) > 6 and isinstance(args[6], Named)
            self.tensor_bytes += check_tensor(args, args[6].name if has_own else None)
        elif name == "torch._tensor._rebuild_from_type_v2" and len(args) > 2 and isinstance(args[0], Named):
            if args[0].name.startswith("torch._utils._rebuild_tensor") or not PLAIN.fullmatch(args[0].name):
                return self._called(args[0], args[2])
            self._refuse(function, "of what is no tensor")
        elif name == "torch.Size" and len(args) == 1 and isinstance(args[0], tuple):
            return args[0]
        elif PLAIN.fullmatch(name) and not is_usual_call(name, args):
            self._refuse(function, "in another way than weights are saved")
        self._check_copies(name, args)
        return Named(name, is_made=True)

    def _check_copies(self, name: str, args: tuple[object, ...]) -> None:
        for value in args:
            if isinstance(value, (str, bytes, bytearray, list)):
                self._copied += len(value)
            if isinstance(value, list):
                self._check_keys(_firsts(value) if name == "collections.OrderedDict" else value)
        if self._copied > MOST_COPIED:
            raise MisleadingError("it copies what it holds again and again")

    def _refuse(self, whom: object, how: str) -> None:
        name = whom.name if isinstance(whom, Named) else type(whom).__name__
        self.asked.add(f"{printable(name)} {how}")


class _Row(tuple[Any, ...]):
    """A tuple that knows how deep it is, and of how many parts.

    Python hashes deep ones by recursion, down to a crash, and what is in one twice it goes through twice.
    """

    depth: int
    parts: int

    @classmethod
    def of(cls, values: list[Any]) -> "_Row":
        made = cls(values)
        rows = [value for value in values if isinstance(value, _Row)]
        made.depth = 1 + max((row.depth for row in rows), default=0)
        made.parts = len(values) + sum(row.parts for row in rows)
        if made.depth > _MOST_DEPTH:
            raise MisleadingError(f"tuples nested deeper than {_MOST_DEPTH}")
        return made


def _firsts(pairs: Iterable[Any]) -> Iterator[object]:
    return (pair[0] if isinstance(pair, (tuple, list)) and pair else None for pair in pairs)


def _pushing(make: Callable[[], object]) -> Callable[[Machine, Any], None]:
    return lambda machine, argument: machine.push(make())


def _row(count: int) -> Callable[[Machine, Any], None]:
    return lambda machine, argument: machine.row(count)


def _of_marked(name: str, take: Callable[[Machine, Any], None]) -> Callable[[Machine, Any], None]:
    def step(machine: Machine, argument: object) -> None:
        take(machine, argument)
        machine.push(Named(name, is_made=True))

    return step


_VALUES = (
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING BINBYTES "
    "SHORT_BINBYTES BINBYTES8 BYTEARRAY8 UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8"
)
_STEPS: Mapping[str, Callable[[Machine, Any], None]] = {
    **dict.fromkeys(_VALUES.split(), Machine.push),
    "NONE": _pushing(lambda: None),
    "NEWTRUE": _pushing(lambda: True),
    "NEWFALSE": _pushing(lambda: False),
    "EMPTY_TUPLE": _row(0),
    "TUPLE1": _row(1),
    "TUPLE2": _row(2),
    "TUPLE3": _row(3),
    "TUPLE": Machine.marked_row,
    "EMPTY_LIST": _pushing(list),
    "LIST": Machine.marked_list,
    "APPEND": Machine.append,
    "APPENDS": Machine.append_marked,
    "EMPTY_DICT": _pushing(lambda: Named("a dictionary", is_made=True)),
    "DICT": _of_marked("a dictionary", Machine.set_marked),
    "EMPTY_SET": _pushing(lambda: Named("a set", is_made=True)),
    "FROZENSET": _of_marked("a set", Machine.add_marked),
    "SETITEM": Machine.set_item,
    "SETITEMS": Machine.set_marked,
    "ADDITEMS": Machine.add_marked,
    "MARK": Machine.mark,
    "POP": Machine.drop,
    "POP_MARK": Machine.drop_marked,
    "DUP": Machine.double,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), Machine.remember),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Machine.recall),
    "GLOBAL": Machine.name,
    "STACK_GLOBAL": Machine.name_by_stack,
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), Machine.name_by_number),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), Machine.call),
    "NEWOBJ_EX": Machine.call_with_options,
    "OBJ": Machine.call_marked,
    "INST": Machine.name_and_call,
    "BUILD": Machine.give_state,
    "BINPERSID": Machine.storage,
    **dict.fromkeys(("PERSID", "NEXT_BUFFER", "READONLY_BUFFER"), Machine.refuse),
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), Machine.nothing),
}
