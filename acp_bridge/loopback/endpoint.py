"""The embedded endpoint: an Anthropic-compatible Messages API on loopback that follows a script.

`acp-bridge demo`, the tests and embedders run the real Claude Code against it, with fake
credentials and no network. It answers any prompt with a short text unless it is given a script
(see `acp_bridge.loopback.script`), and remembers what each request authenticated with.

    async with EmbeddedEndpoint(script=[say("Hi.")]) as endpoint:
        environment["ANTHROPIC_BASE_URL"] = endpoint.url
        ...
        first = await endpoint.wait_for(lambda seen: seen.kind is RequestKind.MAIN, seconds=30)
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import replace
from itertools import count
from typing import Self

import anyio

from acp_bridge.loopback.asked import Asked, RequestKind, UnreadableBodyError, read_asked
from acp_bridge.loopback.http import Disconnect, Request, Response, json_response, listen
from acp_bridge.loopback.script import Answer, ErrorAnswer, Script, Step, fail, say
from acp_bridge.loopback.seen import Outcome, Record, SeenRequest, see
from acp_bridge.loopback.wording import AnswerIds, as_error, as_events, as_message
from acp_bridge.policy.credential import KnownSecrets

DEFAULT_TITLE = '{"title": "A scripted session"}'
DEFAULT_SUGGESTION = "run the tests"
MODELS = ("claude-fable-5-2", "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5")
_CHARACTERS_A_TOKEN = 4
_NOT_FOUND = fail(404, "not_found_error", "Not found")


class EmbeddedEndpoint:
    """A scripted Messages API on a free loopback port, as an async context manager.

    Args:
        script: steps for the agent loop's requests, or a callable from request to step. An error
            that the callable raises ends the block, in an ``ExceptionGroup``.
        title: the step for requests that want a session's title.
        suggestion: the step for requests that want a suggestion for the next prompt.
        known: label to secret; a request that carries one of them is remembered by its label.
        port: 0 takes a free one.
        name: what the ids of its answers begin with, so that those of two can be told apart.
    """

    def __init__(  # noqa: PLR0913 - each is one thing that a world may want to choose
        self,
        script: Script = (),
        *,
        title: Step | None = None,
        suggestion: Step | None = None,
        known: Mapping[str, str] | None = None,
        port: int = 0,
        name: str = "embedded",
    ) -> None:
        self._name = name
        self._choose = script if callable(script) else _in_turn(list(script))
        self._title = title or say(DEFAULT_TITLE)
        self._suggestion = suggestion or say(DEFAULT_SUGGESTION)
        self._known = KnownSecrets(known)
        self._numbers = count(1)
        self._record: Record[SeenRequest] = Record()
        self._listener = listen(self._answer, port=port)

    async def __aenter__(self) -> Self:
        await self._listener.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._listener.__aexit__(*error)

    @property
    def url(self) -> str:
        """What to put into ``ANTHROPIC_BASE_URL``, once entered."""
        return self._listener.url

    @property
    def seen(self) -> list[SeenRequest]:
        """Every request so far, in order of arrival."""
        return self._record.all()

    async def wait_for(
        self, predicate: Callable[[SeenRequest], bool], seconds: float
    ) -> SeenRequest:
        """The first request, past or to come, that the predicate accepts.

        A request is shown when its answer begins and again when its `Outcome` is known.

        Raises:
            TimeoutError: none came in time.
        """
        return await self._record.wait_for(predicate, seconds)

    async def _answer(self, request: Request) -> Response:
        seen = see(request, self._known)
        match (request.method, request.path):
            case ("POST", "/v1/messages"):
                return self._answer_model_request(seen, request)
            case ("POST", "/v1/messages/count_tokens"):
                return self._answer_count(seen, request)
            case ("GET", "/v1/models"):
                seen = replace(seen, kind=RequestKind.MODELS)
                return self._answer_at_once(seen, json_response(200, _model_list()))
            case ("HEAD", "/"):
                return self._answer_at_once(seen, Response(200))
            case _:
                return self._answer_at_once(seen, self._error(_NOT_FOUND))

    def _answer_model_request(self, seen: SeenRequest, request: Request) -> Response:
        try:
            asked = read_asked(request.body, agent_id=seen.agent_id, session_id=seen.session_id)
        except UnreadableBodyError as error:
            return self._answer_at_once(seen, self._error(_unreadable(error)))
        seen = replace(seen, kind=asked.kind, model=asked.model, prompt=asked.prompt)
        step = self._step(asked)
        if isinstance(step, ErrorAnswer):
            return self._answer_at_once(seen, self._error(step))
        seen = replace(seen, usage=step.usage, answered=step.model or asked.model)
        ids = self._ids()
        headers = (("request-id", ids.request), *step.headers)
        if not asked.stream:
            message = as_message(step, model=asked.model, ids=ids)
            return self._answer_at_once(seen, json_response(200, message, headers))
        place = self._record.add(replace(seen, status=200))
        events = self._stream(step, asked.model, ids, place)
        return Response(200, (("content-type", "text/event-stream"), *headers), events)

    async def _stream(
        self, answer: Answer, model: str, ids: AnswerIds, place: int
    ) -> AsyncGenerator[bytes, None]:
        outcome = Outcome.CLIENT_LEFT
        try:
            for sent, event in enumerate(as_events(answer, model=model, ids=ids)):
                if sent == answer.cut_after:
                    outcome = Outcome.CUT
                    raise Disconnect
                if sent == answer.stall_after:
                    await anyio.sleep_forever()
                if sent:
                    await anyio.sleep(answer.pause_seconds)
                yield event
            outcome = Outcome.COMPLETE
        finally:
            self._record.replace(place, lambda seen: replace(seen, outcome=outcome))

    def _answer_count(self, seen: SeenRequest, request: Request) -> Response:
        seen = replace(seen, kind=RequestKind.COUNT)
        try:
            asked = read_asked(request.body, agent_id=seen.agent_id, session_id=seen.session_id)
        except UnreadableBodyError as error:
            return self._answer_at_once(seen, self._error(_unreadable(error)))
        tokens = max(1, len(request.body) // _CHARACTERS_A_TOKEN)
        counted = json_response(200, {"input_tokens": tokens})
        return self._answer_at_once(replace(seen, model=asked.model), counted)

    def _answer_at_once(self, seen: SeenRequest, response: Response) -> Response:
        self._record.add(replace(seen, status=response.status, outcome=Outcome.COMPLETE))
        return response

    def _step(self, asked: Asked) -> Step:
        match asked.kind:
            case RequestKind.TITLE:
                return self._title
            case RequestKind.SUGGESTION:
                return self._suggestion
            case _:
                return self._choose(asked)

    def _error(self, error: ErrorAnswer) -> Response:
        ids = self._ids()
        headers = (("request-id", ids.request), *error.headers)
        return json_response(error.status, as_error(error, ids=ids), headers)

    def _ids(self) -> AnswerIds:
        number = next(self._numbers)
        return AnswerIds(f"msg_{self._name}{number:06d}", f"req_{self._name}{number:06d}")


def _in_turn(steps: list[Step]) -> Callable[[Asked], Step]:
    remaining = iter(steps)
    return lambda _asked: next(remaining, None) or say()


def _unreadable(error: UnreadableBodyError) -> ErrorAnswer:
    return fail(400, "invalid_request_error", str(error))


def _model_list() -> dict[str, object]:
    models = [
        {
            "type": "model",
            "id": model,
            "display_name": model.removeprefix("claude-").replace("-", " ").title(),
            "created_at": "2026-01-01T00:00:00Z",
        }
        for model in MODELS
    ]
    return {"data": models, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]}
