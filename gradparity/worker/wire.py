"""What a message is: msgpack, one a frame; a request knows the reply that answers it, and arrays go as bytes."""

from __future__ import annotations

import operator
import traceback
from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar, get_args

import msgspec
import numpy as np
import numpy.typing as npt

#: An array on the host, and several by name.
Host: TypeAlias = npt.NDArray[Any]
Arrays: TypeAlias = dict[str, Host]

#: What is waited for: the framework's import; building the program and the first call, which compile; any other answer.
Wait: TypeAlias = Literal["import", "compile", "step"]


class Reply(msgspec.Struct, frozen=True, tag=True):
    """What a process answers."""


ReplyT = TypeVar("ReplyT", bound=Reply)


class Request(msgspec.Struct, Generic[ReplyT], frozen=True, tag=True):
    """What the parent asks for; it is answered by one reply of its own kind, or by `Failed`.

    Attributes:
        stage: what it is called in messages to the user.
        timeout_s: seconds that it may take before its process is given up.
        wait: which of the user's limits counts in place of ``timeout_s``; ``None`` if none does.
    """

    stage: ClassVar[str]
    timeout_s: ClassVar[float] = 600
    wait: ClassVar[Wait | None] = "step"

    @classmethod
    def reply(cls) -> type[Reply]:
        """The kind of reply that answers it."""
        (base,) = cls.__orig_bases__  # type: ignore[attr-defined]
        kind: type[Reply] = get_args(base)[0]
        return kind


class Failed(Reply, frozen=True):
    """An exception in the process; the process lives on."""

    kind: str
    message: str
    traceback: str


def failure(error: BaseException, said: str) -> Failed:
    """The exception that is being handled as a reply; half a surrogate pair, which no message can hold, is escaped."""
    parts = type(error).__name__, said, traceback.format_exc()
    return Failed(*(part.encode("utf-8", "backslashreplace").decode() for part in parts))


class Progress(Reply, frozen=True):
    """How far the answer to the last request is: it is still to come; see `gradparity.progress`."""

    what: str
    done: int
    of: int


class Part(Reply, frozen=True):
    """What is known of the answer to the last request, which is still to come: it outlives a process that fails then.

    ``quantities`` by name, then by parameter; ``begun``: what is asked for now, in words.
    """

    quantities: dict[str, Arrays]
    begun: str


class Stopped(Reply, frozen=True):
    """The last word of a process."""


class Stop(Request[Stopped], frozen=True):
    """End the process."""

    stage = "stop"
    timeout_s = 5
    wait = None


class _Frame(msgspec.Struct, frozen=True):
    """An array on the wire: dtype in NumPy's notation with its byte order, shape, and C-ordered bytes.

    ``narrow``: its dtype's name where NumPy alone has no such dtype, and the numbers come as float32 (`dtype_name`).
    """

    dtype: str
    shape: tuple[int, ...]
    data: bytes
    narrow: str = ""


def dtype_name(array: Host) -> str:
    """The name of an array's dtype where it was computed: ``bfloat16`` of one whose numbers came as float32."""
    return str(dict(array.dtype.metadata or {}).get("narrow", array.dtype.name))


def _packed(value: Any) -> _Frame:
    """An array, or what NumPy takes for one.

    Raises:
        NotImplementedError: it is none.
    """
    array = np.asarray(value)
    if array.dtype.hasobject:
        raise NotImplementedError(f"a {type(value).__name__} in a message")
    name = dtype_name(array)
    if array.dtype.kind == "V" and array.dtype.names is None:  # of a package of its own, as bfloat16 is
        array = array.astype(np.float32)
    return _Frame(array.dtype.str, array.shape, array.tobytes(), name if name != array.dtype.name else "")


def _unpacked(_kind: Any, value: Any) -> Host:
    """The array of a message: a read-only view of its bytes.

    Raises:
        ValueError: the bytes do not fill the shape, or the dtype holds Python objects or fields, or is none.
    """
    frame = msgspec.convert(value, _Frame)
    try:
        kept: Any = {"metadata": {"narrow": frame.narrow}} if frame.narrow else {}
        array = np.frombuffer(frame.data, np.dtype(frame.dtype, **kept)).reshape(frame.shape)
    except (TypeError, SyntaxError, OverflowError) as error:  # of a dtype that is none, or lengths past any
        raise ValueError(str(error)) from None
    # NumPy takes a length of -1 as whatever fills the shape, and a record as a dtype.
    if array.shape != frame.shape or array.dtype.names:
        raise ValueError(f"got {frame.dtype!r} and shape {frame.shape}, expected numbers and lengths of 0 or more")
    return array


encode = msgspec.msgpack.Encoder(enc_hook=_packed).encode


def decoder(kinds: Iterable[type[msgspec.Struct]]) -> Callable[[bytes], Any]:
    """A decoder of messages of these kinds; whatever is none ends in one kind of error, `msgspec.MsgspecError`."""
    decode = msgspec.msgpack.Decoder(reduce(operator.or_, kinds), dec_hook=_unpacked).decode

    def decoded(frame: bytes) -> Any:
        try:
            return decode(frame)
        except (UnicodeDecodeError, RecursionError) as error:  # text that is none; nested too deep
            raise msgspec.DecodeError(str(error)) from None

    return decoded


def reply_decoder(requests: Iterable[type[Request[Any]]], *also: type[Reply]) -> Callable[[bytes], Any]:
    """A decoder of the replies to these requests, of failures, and of how far an answer is."""
    return decoder([*(request.reply() for request in requests), Failed, Progress, Part, *also])
