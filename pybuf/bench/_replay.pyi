from _typeshed import ReadableBuffer, WriteableBuffer

MARK_BYTES: int

def replay(
    functions: tuple[int, int, int, int | None],
    words: ReadableBuffer,
    slots: WriteableBuffer,
    marks: WriteableBuffer,
    first: int,
    last: int,
    touch: str,
    is_gil_held: bool,
) -> int: ...
def empty_functions() -> tuple[int, int, int]: ...
