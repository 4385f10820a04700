"""What no checkpoint may ever reach: a function that a hostile pickle asks for by name, and that remembers it."""

sprung: list[str] = []


def spring(*arguments: object) -> None:
    """Called only when foreign code runs."""
    sprung.append(repr(arguments))


class Trap:
    """Pickles as a call of ``spring``."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return spring, ("sprung",)
