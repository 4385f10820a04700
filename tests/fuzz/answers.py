"""What any answer must be, for the targets to say in one line."""


def must(holds: bool, wrong: str) -> None:
    """Raises: AssertionError with what is wrong where something does not hold."""
    if not holds:
        raise AssertionError(wrong)


def must_be_one_line(error: Exception, *words: str) -> None:
    """Raises: AssertionError for a message of several lines, or without these words."""
    must("\n" not in str(error), "the message has several lines")
    must(all(word in str(error) for word in words), f"the message lacks {words}: {error}")
