"""Every error this project raises on purpose.

    EdgeSdkError                    exit 1
    ├── ConfigError                 exit 2: a key, flag or file of settings is missing, unknown or out of range
    ├── ContractError               data or a tensor does not fit the contract
    ├── ModelError                  not a model, damaged, or of a form that cannot be used
    │   └── NotIntegerError         a float tensor is left where none may be
    ├── DataError                   calibration or evaluation data is missing, broken or misleading
    ├── BundleError                 a bundle is damaged, hostile or of the wrong kind
    │   └── BundleVersionError      it was written by a newer edge-sdk
    ├── BoardError                  no such board, or its profile is broken
    ├── EngineError                 an engine cannot be started or run
    │   ├── EngineHangError         it did not come back within its hang budget
    │   ├── EngineCrashError        its process died
    │   ├── DeviceError             its device is absent, taken by another process, or may not be reset
    │   ├── RequestRejectedError    a request was not taken: the queue is full, or its deadline cannot be met
    │   ├── RequestTimeoutError     a request was not answered in time
    │   └── RemoteError             a server cannot be reached, refuses, or answers something else
    │       ├── RemoteTimeoutError  it did not answer in time
    │       └── RemoteAnswerError   it answered wrongly, as if it had another model, or with what is no number
    ├── SourceError                 a source cannot be opened or read
    │   └── SourceLostError         it was there and went away
    ├── OutputError                 an output exists already or cannot be written; nothing was changed
    ├── ClusterError                a cluster cannot be reached, or went away
    ├── CompilerError               Google's Edge TPU compiler is too old, or failed
    │   └── CompilerMissingError    it is not installed
    ├── WatchdogError               the hardware watchdog cannot be opened or fed
    ├── ServiceError                the system's service manager is missing or refuses
    ├── MissingPackageError         a package that this call needs is not installed
    └── GateError                   exit 3: a gate failed

Messages name what was found, what is allowed and what to do next.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar


class EdgeSdkError(Exception):
    """Base of all errors here; ``exit_code`` is what the command line ends with."""

    exit_code: ClassVar[int] = 1


class ConfigError(EdgeSdkError):
    """A setting is missing, unknown or out of range."""

    exit_code = 2


class ContractError(EdgeSdkError):
    """Data or a tensor does not fit the contract."""


class ModelError(EdgeSdkError):
    """Not a model, damaged, or of a form that cannot be used."""


class NotIntegerError(ModelError):
    """A floating-point tensor is left in a model that must be full-integer.

    Attributes:
        operator: what produces or takes the tensor, such as ``"ELU (operator 4)"``.
        tensor: the tensor's name.
    """

    def __init__(self, message: str, *, operator: str, tensor: str) -> None:
        super().__init__(message)
        self.operator = operator
        self.tensor = tensor


class DataError(EdgeSdkError):
    """Calibration or evaluation data is missing, broken or misleading."""


class BundleError(EdgeSdkError):
    """A bundle is damaged, hostile or of the wrong kind."""


class BundleVersionError(BundleError):
    """A bundle was written by a newer edge-sdk."""


class BoardError(EdgeSdkError):
    """No such board, or its profile is broken."""


class EngineError(EdgeSdkError):
    """An engine cannot be started or run."""


class EngineHangError(EngineError):
    """An engine did not come back within its hang budget of ``hang_ms`` milliseconds; ``hint`` says more, where that is known."""

    def __init__(self, hang_ms: float, hint: str = "") -> None:
        said = f"the engine did not come back within its hang budget of {hang_ms:g} ms; its process was killed"
        super().__init__(f"{said}; {hint}" if hint else said)
        self.hang_ms = hang_ms


class EngineCrashError(EngineError):
    """An engine's process died; ``reason`` says how (``"SIGSEGV"``, ``"exit code 3"``), ``hint`` more, where that is known."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(f"the engine's process died: {reason}" + (f"; {hint}" if hint else ""))
        self.reason = reason


class DeviceError(EngineError):
    """An accelerator's device is absent, taken by another process, or may not be reset."""


class RequestRejectedError(EngineError):
    """A request was not taken: the queue is full, or its deadline cannot be met any more."""


class RequestTimeoutError(EngineError):
    """A request was not answered in time; what comes later is thrown away."""


class RemoteError(EngineError):
    """A server cannot be reached, refuses, or answers something else than was asked for."""


class RemoteTimeoutError(RemoteError):
    """A server did not answer in time."""


class RemoteAnswerError(RemoteError):
    """A server's answer has the right form, but it is wrong or holds what is no number."""


class SourceError(EdgeSdkError):
    """A source cannot be opened or read."""


class SourceLostError(SourceError):
    """A source was there and went away."""


class OutputError(EdgeSdkError):
    """An output exists already or cannot be written; nothing was changed."""


class ClusterError(EdgeSdkError):
    """The scheduler or the workers of a cluster cannot be reached, went away, or cannot do the work."""


class CompilerError(EdgeSdkError):
    """Google's Edge TPU compiler is too old, fails, crashes or hangs."""


class CompilerMissingError(CompilerError):
    """Google's Edge TPU compiler is not installed."""


class WatchdogError(EdgeSdkError):
    """The hardware watchdog cannot be opened or fed."""


class ServiceError(EdgeSdkError):
    """The system's service manager is missing, refuses, or needs other rights."""


class MissingPackageError(EdgeSdkError):
    """A package that this call needs is not installed.

    Attributes:
        package: the import name that was not found.
        needed_for: what wanted it.
        install: what to run.
    """

    def __init__(self, package: str, *, needed_for: str, install: str) -> None:
        super().__init__(f"{needed_for} needs {package}, which is not installed. Run: {install}")
        self.package = package
        self.needed_for = needed_for
        self.install = install


class GateError(EdgeSdkError):
    """A gate, such as a largest accuracy drop, failed."""

    exit_code = 3


@contextmanager
def needs(package: str, *, for_: str, extra: str) -> Iterator[None]:
    """Turn the ImportError of ``package`` (import name) into a message with the exact install line.

    Args:
        package: the import name guarded by the block.
        for_: what the user wanted, such as ``"reading a video"``.
        extra: the extra of edge-device-sdk that brings the package.

    Raises:
        MissingPackageError: if the package itself is missing; an ImportError inside the package passes through.
    """
    try:
        yield
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] != package:
            raise
        install = f"pip install 'edge-device-sdk[{extra}]'"
        raise MissingPackageError(package, needed_for=for_, install=install) from exc
