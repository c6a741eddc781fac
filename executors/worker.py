"""The acting half of execute: carry one phase out, and say how it ended."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

import orjson

from executors.attempt import Patience, look, settle
from executors.before import fill
from executors.executor import Arguments, Executor, Uncertain, decode
from executors.ledger import Intent, Ledger
from runbooks.checks import evaluate
from schemas.errors import Denied, Rejected, SentinelError
from schemas.event import Event
from schemas.plans import Action, Step
from schemas.results import StepResult
from schemas.turn import Job

REMEMBERED = 1_000  # results of this process; more than can be on the way to the ledger


class Ended(NamedTuple):
    """How a phase ended, as its result will say."""

    status: str
    detail: str
    fields: Mapping[str, object] = MappingProxyType({})


class Worker:
    """One process's hands. `name` is of this process alone; it is drawn when not given."""

    def __init__(
        self,
        executors: Mapping[str, Executor],
        *,
        retry_for_s: float,
        backoff_s: float,
        clock: Callable[[], datetime],
        name: str = "",
    ) -> None:
        self._executors = executors
        self._retry_for_s = retry_for_s
        self._backoff_s = backoff_s
        self._clock = clock
        self._name = name or secrets.token_hex(8)
        self._begun: set[str] = set()  # changes that this process has begun to send
        self._said: dict[str, StepResult] = {}  # and how they ended

    async def act(self, job: Job) -> AsyncIterator[Event]:
        """Look, claim, or send what was claimed."""
        ledger: Ledger = job.payload
        intent = ledger.intent
        if intent is None:
            return
        step = ledger.entries[intent.step].step
        if intent.phase == "precheck":
            yield self._started(ledger, intent, f"looking first: {step.summary}")
            yield await self._looked(ledger, intent)
        elif not intent.worker:
            yield self._started(ledger, intent, step.summary)
        elif job.id in self._said:
            yield self._said[job.id]
        else:
            resumed = intent.worker != self._name or job.id in self._begun
            self._begun.add(job.id)
            said = await self._sent(ledger, intent, resumed=resumed)
            self._remember(job.id, said)
            yield said

    def _remember(self, ident: str, said: StepResult) -> None:
        self._said[ident] = said
        if len(self._said) > REMEMBERED:
            oldest = next(iter(self._said))
            del self._said[oldest]
            self._begun.discard(oldest)

    def _started(self, ledger: Ledger, intent: Intent, detail: str) -> StepResult:
        said = ledger.step_event(intent.step, intent.phase, "started", detail, self._clock())
        return said.model_copy(update={"key": intent.key, "worker": self._name})

    async def _looked(self, ledger: Ledger, intent: Intent) -> StepResult:
        """The precheck and the state before; whatever is amiss, nothing has been changed."""
        step = ledger.entries[intent.step].step
        begun = asyncio.get_running_loop().time()
        try:
            ended = await self._checked(step, self._patience(ledger, step))
        except SentinelError as error:
            ended = Ended("failed", str(error))
        return self._result(ledger, intent, ended, begun)

    async def _checked(self, step: Step, patience: Patience) -> Ended:
        detail, before, answer = "the state before is noted", "", ""
        if step.precheck is not None:
            executor, arguments = self._ready(step.precheck.action, changes=False)
            found = await look(executor, arguments, patience)
            answer = found.text
            holds, detail = evaluate(step.precheck.expect, found.value)
            if not holds:
                return Ended("failed", detail, {"answer": answer})
        if step.observe is not None:
            executor, arguments = self._ready(step.observe, changes=False)
            seen = await look(executor, arguments, patience)
            before = orjson.dumps(seen.value, option=orjson.OPT_SORT_KEYS).decode()
        if step.undo is not None:  # what cannot be undone is not done
            undo = fill(step.undo.arguments, before)
            self._ready(step.undo, changes=True, exactly=undo)
        return Ended("succeeded", detail, {"before": before, "answer": answer})

    async def _sent(self, ledger: Ledger, intent: Intent, *, resumed: bool) -> StepResult:
        """The change, or what became of it."""
        step = ledger.entries[intent.step].step
        begun = asyncio.get_running_loop().time()
        try:
            ended = await self._changed(step, intent, self._patience(ledger, step), resumed=resumed)
        except Uncertain as error:
            doubt = f"unknown whether it took effect; a person must look: {error}"
            ended = Ended("failed", doubt, {"unknown": True})
        except SentinelError as error:
            ended = Ended("failed", str(error))
        said = self._result(ledger, intent, ended, begun)
        return said.model_copy(update={"key": intent.key})

    async def _changed(
        self, step: Step, intent: Intent, patience: Patience, *, resumed: bool
    ) -> Ended:
        action = step.do if intent.phase == "do" else step.undo
        try:
            executor, arguments = self._ready(action, changes=True, exactly=intent.arguments)
        except (Denied, Rejected) as error:
            if resumed:  # it was allowed when the worker that was lost began
                raise Uncertain(f"it cannot be asked any more: {error}") from error
            raise
        settled = await settle(
            executor, arguments, key=intent.key, resumed=resumed, patience=patience
        )
        fields = {"answer": settled.answer.text, "reconciled": settled.reconciled}
        return Ended("succeeded", settled.answer.detail, fields)

    def _ready(
        self, action: Action | None, *, changes: bool, exactly: str = ""
    ) -> tuple[Executor, Arguments]:
        """Who does it, with what. Raises Denied and Rejected, before anything is sent."""
        if action is None:
            raise Rejected("there is no undo")
        executor = self._executors.get(action.executor)
        if executor is None:
            raise Denied(f"no executor {action.executor!r:.60} is configured any more")
        arguments = decode(exactly or action.arguments)
        executor.check(arguments, changes=changes)
        return executor, arguments

    def _patience(self, ledger: Ledger, step: Step) -> Patience:
        cap = step.timeout_s if ledger.step_timeout_s is None else ledger.step_timeout_s
        return Patience(min(step.timeout_s, cap), self._retry_for_s, self._backoff_s)

    def _result(self, ledger: Ledger, intent: Intent, ended: Ended, begun: float) -> StepResult:
        took = asyncio.get_running_loop().time() - begun
        now = self._clock()
        said = ledger.step_event(intent.step, intent.phase, ended.status, ended.detail, now)
        return said.model_copy(update={**ended.fields, "duration_s": round(took, 6)})
