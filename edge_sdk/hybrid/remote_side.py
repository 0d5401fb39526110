"""The server's side of hybrid inference: asking it, and what became of that."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic_ns
from typing import Any

from edge_sdk.bundle import Bundle, Variant
from edge_sdk.contract import Placement
from edge_sdk.encoder import Encoder
from edge_sdk.errors import ConfigError
from edge_sdk.hybrid.asking import Asker, RemoteRequest
from edge_sdk.hybrid.figures import RemoteFigures
from edge_sdk.hybrid.proof import Proof, check_finite
from edge_sdk.hybrid.settings import RemoteSettings
from edge_sdk.hybrid.teller import Teller
from edge_sdk.hybrid.trust import Trust, reason_of
from edge_sdk.remote.client import Client
from edge_sdk.result import Event, Stages
from edge_sdk.runner import override
from edge_sdk.sources import Sample
from edge_sdk.tasks import Task, make_task
from edge_sdk.tensors import Array, TensorSpec

MakeClient = Callable[[RemoteSettings, tuple[TensorSpec, ...], tuple[TensorSpec, ...]], Client]
_OVERHEAD_BYTES = 1_024  # of headers, both ways
_MS, _S = 1e-6, 1e-9  # of nanoseconds


@dataclass(eq=False)
class Question:
    """One sample that the server is asked about; ``forsaken`` once nobody waits for the answer, after ``waited_ms``."""

    request: RemoteRequest
    placement: Placement | None
    sample: Sample
    encode_ms: float
    forsaken: bool = False
    waited_ms: float = 0.0


class RemoteSide:
    """One server, for one thread; the requests run on others.

    Args:
        bundle: has the variant.
        variant: whose tensors the server takes.
        settings: which server, and how much of it.
        task: overrides of the task's settings.
        make_client: makes a client of the server.
        tell: told of events.

    Attributes:
        variant, settings: as given.
        name: of the variant and where it runs.
        task: decodes the server's outputs.
        trust: in the server.
        rescued: results of the local engine for samples that the server was asked about.

    Raises:
        ConfigError, ContractError: if the settings do not fit the variant.
    """

    def __init__(
        self,
        bundle: Bundle,
        variant: Variant,
        settings: RemoteSettings,
        *,
        task: dict[str, object],
        make_client: MakeClient,
        tell: Callable[[Event], None],
    ) -> None:
        if len(variant.inputs) != 1:
            raise ConfigError(f"variant {variant.id} has {len(variant.inputs)} inputs; the loop feeds models of one")
        self.variant, self.settings, self.name = variant, settings, f"{variant.id} on remote"
        spec = variant.inputs[0]
        self.task_settings = override(bundle.task_of(variant), task)
        self.task: Task = make_task(
            self.task_settings, input_=spec, outputs=variant.outputs, labels=bundle.labels(), heads=variant.heads
        )
        self._encoder = Encoder(bundle.contract_of(variant), spec)
        if self._encoder.stateful or "VAR_HANDLE" in variant.operators:
            refuse_stateful(variant)
        self._proof = Proof(bundle, variant, settings.tolerance)
        self._teller = Teller(tell)
        self.trust = Trust(settings, monotonic_ns(), self._teller.say)
        self._size = spec.size_bytes + sum(output.size_bytes for output in variant.outputs) + _OVERHEAD_BYTES
        self._asked = self._used = self._late = self.rescued = 0
        self._failed: Counter[str] = Counter()
        self._kept_back: Counter[str] = Counter()
        self._open: list[Question] = []
        self._askers: list[Asker] = []
        self._is_closed, self._ended = False, threading.Event()
        try:
            for _ in range(settings.in_flight):
                self._askers.append(Asker(make_client(settings, variant.inputs, variant.outputs), spec))
        except BaseException:
            self.close()
            raise
        if not self._proof.golden:
            self._teller.say(
                "remote_unproven",
                f"the bundle has no golden vectors of {variant.id}: it cannot be seen whether the server has the right model, only whether "
                "it changes",
            )
        self.tend()

    @property
    def description(self) -> str:
        """Of the server, without secrets."""
        return self._askers[0].client.description

    def tend(self) -> None:
        """Look at what has ended since, and prove the server where that is due. To be called once a sample."""
        self._teller.tend()
        now_ns = monotonic_ns()
        for question in [each for each in self._open if each.forsaken and each.request.over]:
            self._settle(question)
        for asker in self._askers:
            request = asker.request
            if request is not None and request.proof and request.over:
                asker.request = None
                self._correct(request)
                self.trust.proof_ended(request, now_ns)
        if self.trust.proof_is_due(now_ns):
            self._prove(now_ns)

    def why_not(self, budget_ms: float) -> str:
        """Why the server is not to be asked for an answer within so long, as ``Trust.why_not``; empty if it is. A reason is counted."""
        now_ns = monotonic_ns()
        reason = self.trust.why_not(budget_ms, now_ns)
        if not reason and self._free() is None:
            reason = "busy"
        if not reason and not self.has_bytes():
            reason = "bytes"
        if reason:
            self.keep_back(reason)
        return reason

    def has_bytes(self) -> bool:
        """Whether a request may go over the network."""
        return self.trust.allows(self._size, monotonic_ns())

    def keep_back(self, reason: str) -> None:
        """Count a sample that the server is not asked about, for a reason of ``edge_sdk.hybrid.trust.WHY_NOT``."""
        self._kept_back[reason] += 1

    def wait_free(self, until_ns: int) -> bool:
        """Until any connection is free, but no longer than to this moment; whether one is."""
        while True:
            self._ended.clear()
            self.tend()
            if self._free() is not None:
                return True
            if (left_ns := until_ns - monotonic_ns()) <= 0:
                return False
            self._ended.wait(left_ns * _S)

    def wait_proven(self, until_ns: int) -> None:
        """Until a proof that is under way has ended, but no longer than to this moment."""
        for asker in self._askers:
            if asker.request is not None and asker.request.proof:
                asker.request.wait(until_ns)
        self.tend()

    def ask(self, sample: Sample) -> Question:
        """Ask about a sample; a connection must be free.

        Raises:
            ContractError: if the sample is not of the contract's form.
        """
        asker = self._free()
        assert asker is not None  # noqa: S101 - else ``why_not`` had said so
        began_ns = monotonic_ns()
        placement = self._encoder.encode(sample.data, asker.buffer, colour=sample.colour)
        check = self._check_connection if self.trust.keeps_connections else None
        request = RemoteRequest((asker.buffer,), self._judge, proof=False, check=check, ended=self._ended)
        self.trust.bandwidth.spend(self._size)
        self._asked += 1
        asker.ask(request)
        question = Question(request, placement, sample, (request.began_ns - began_ns) * _MS)
        self._open.append(question)
        return question

    def answered(self, question: Question, until_ns: int) -> bool:
        """Wait to this moment at most; whether a good answer is there."""
        if not question.request.wait(until_ns):
            return False
        if question.request.failure is not None and question in self._open:
            self._settle(question)
        return question.request.failure is None

    def take(self, question: Question, queue_ms: float) -> tuple[Any, Stages]:
        """The value of a good answer that is there, and where the time went."""
        request, arrived_ns = question.request, monotonic_ns()
        self._settle(question)
        value = self.task.decode(request.outputs, question.placement, question.sample.captured_ns, request.questions[0])
        waited_ms, decode_ms = (arrived_ns - request.began_ns) * _MS, (monotonic_ns() - arrived_ns) * _MS
        return value, Stages(queue_ms, question.encode_ms, 0.0, decode_ms, waited_ms)

    def forsake(self, question: Question) -> None:
        """Nobody waits for its answer any more."""
        if question in self._open:
            question.forsaken, question.waited_ms = True, (monotonic_ns() - question.request.began_ns) * _MS

    def reset(self) -> None:
        """Forget what was seen."""
        self.task.reset()

    def figures(self) -> RemoteFigures:
        """Everything counted so far."""
        settings, trust, now_ns = self.settings, self.trust, monotonic_ns()
        known = trust.took_ms.count(now_ns)
        return RemoteFigures(
            server=self.description,
            variant=self.variant.id,
            policy=f"hybrid, prefer {settings.prefer}" if settings.policy == "hybrid" else settings.policy,
            state=trust.breaker.state,
            asked=self._asked,
            used=self._used,
            late=self._late,
            failed=dict(self._failed),
            in_flight=len(self._open),
            rescued=self.rescued,
            kept_back=dict(self._kept_back),
            proofs={end: trust.proofs[end] for end in ("passed", "failed")},
            p50_ms=trust.took_ms.quantile(0.5, now_ns) if known else 0.0,
            p95_ms=trust.took_ms.quantile(0.95, now_ns) if known else 0.0,
            transferred_bytes=trust.bandwidth.used,
            turns={str(state): count for state, count in trust.breaker.turns.items()},
        )

    def close(self) -> None:
        """Give up what is under way, and let go of the server; harmless if closed already."""
        if self._is_closed:
            return
        self._is_closed = True
        left = [asker for asker in self._askers if not asker.close()]
        for question in [each for each in self._open if each.request.over]:
            question.forsaken = True
            self._settle(question)
        if left:
            self._teller.say("remote_left_behind", "a request could not be given up; its thread ends with the program")

    def _prove(self, now_ns: int) -> None:
        asker, questions = self._free(), self._proof.questions
        if asker is None or not self.trust.allows(self._size * len(questions), now_ns):
            return
        self.trust.bandwidth.spend(self._size * len(questions))
        self.trust.proof_began()
        asker.ask(RemoteRequest(questions, self._proof.judge, proof=True, ended=self._ended))

    def _settle(self, question: Question) -> None:
        """Its request is over: count what became of it, and free the connection."""
        request = question.request
        self._open.remove(question)
        for asker in self._askers:
            if asker.request is request:
                asker.request = None
        self._correct(request)
        if request.failure is not None:
            self._failed["given up" if self._is_closed else reason_of(request.failure)] += 1
            if not self._is_closed:
                self.trust.failed(request.failure, monotonic_ns())
            return
        self.trust.answered(request.took_ms[0], monotonic_ns())
        if question.forsaken:
            self._late += 1
            self.trust.late(request.took_ms[0], question.waited_ms, monotonic_ns())
        else:
            self._used += 1

    def _correct(self, request: RemoteRequest) -> None:
        """What was taken for the bytes of a request becomes what they were, where the client counts them."""
        if request.transferred or request.failure is not None:
            self.trust.bandwidth.spend(request.transferred - self._size * len(request.questions))

    def _free(self) -> Asker | None:
        return next((asker for asker in self._askers if asker.request is None), None)

    def _check_connection(self, client: Client) -> None:
        self._proof.judge(0, client.infer((self._proof.questions[0],)))

    def _judge(self, number: int, outputs: tuple[Array, ...]) -> None:
        check_finite(outputs, self.variant.outputs)


def refuse_stateful(variant: Variant) -> None:
    """Say that a server cannot help with a model that remembers.

    Raises:
        ConfigError: always.
    """
    raise ConfigError(
        f"[remote] variant {variant.id} remembers what it saw from one window to the next; a server that is asked now and then does not "
        "see all of them. Leave [remote] out"
    )
