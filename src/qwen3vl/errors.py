"""The exceptions that a user of qwen3vl can meet. Each carries a sentence that says what was wrong and what is allowed.

Everything here derives from `Qwen3VLError`; the ones about a user's input are `ValueError`s too, so that a caller who
knows nothing of this package still catches them. The server maps each type to one HTTP status.
"""


class Qwen3VLError(Exception):
    """Base of all errors raised on purpose by this package."""


class InputError(Qwen3VLError, ValueError):
    """A request that cannot be served as it was written: wrong option, wrong message, wrong type.

    `param` is the option or field that it is about, where the sentence does not begin with its place.
    """

    def __init__(self, message: str = "", *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class MediaError(InputError):
    """A picture, video or document that cannot be read, is empty, or is larger than the limits allow."""


class ContextLengthError(InputError):
    """Prompt and answer together need more tokens than the model's context or the KV cache can hold."""


class CheckpointError(Qwen3VLError):
    """A model folder that is incomplete, has tensors left over, or describes a model we do not know."""


class DownloadError(Qwen3VLError):
    """A download that failed or whose bytes do not match the published hash."""


class InsufficientMemoryError(Qwen3VLError):
    """The memory budget, or the machine, is too small for what was asked."""


class ModelOutputError(Qwen3VLError):
    """The model computed something that is not a number, so there is no next token."""


class EngineClosedError(Qwen3VLError):
    """The engine was closed, or its worker died, before the request finished."""


class StoreError(Qwen3VLError):
    """The database or the folder of media cannot be opened, read or written: full, locked, damaged or too new."""


class FontError(Qwen3VLError):
    """A font that drawing needs is not on this machine."""


class BrowserError(Qwen3VLError):
    """There is no browser to render a page with, or it took too long over one."""
