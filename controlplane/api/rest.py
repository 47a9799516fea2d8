"""The REST door: one route per promise, JSON in snake_case, OpenAPI at ``/docs``. Built when it is first used."""

from __future__ import annotations

import inspect
import logging
import re
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import FastAPI, Header, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from api_schemas.faults import Fault, InternalFailure, InvalidParameterValue, MethodNotAllowed, ResourceNotFound
from api_schemas.metrics import DESCRIBE_METRICS
from api_schemas.operation import Operation, Subject
from api_schemas.shape import Shape
from controlplane.api.audit import note_of
from controlplane.api.bounded import Bounded
from controlplane.api.caller import Callers
from controlplane.api.files import FilesDoor
from controlplane.api.guarded import STREAMED
from controlplane.api.holding import Holding
from controlplane.api.imports import ImportsDoor
from controlplane.api.metrics import MetricsDoor
from controlplane.api.problems import fault_of, fault_of_request
from controlplane.api.single import SINGLES, Single
from controlplane.api.stream import EventStream
from controlplane.api.wire import any_shape_in
from controlplane.domain.topology import World
from controlplane.operations.performs import Operations, kept_promises
from controlplane.operations.roles import FOLLOW_EVENTS
from controlplane.store.store import Store

log = logging.getLogger("cachewright.api")

_PREFER = re.compile(r"wait=(\d{1,6})")
_IMPORTS = "/v1/snapshot-imports"
_SUCCESS = {"GET": 200, "POST": 202, "PATCH": 202, "DELETE": 202}


class Problem(BaseModel):
    """What went wrong: the service's code, a sentence, and the request's id."""

    code: str
    message: str
    request_id: str


class ProblemAnswer(BaseModel):
    """The answer to a request that was refused."""

    error: Problem


class RestDoor:
    """Answers everything below ``/v1``, and the pages that describe it."""

    def __init__(self, operations: Operations, callers: Callers, holding: Holding, store: Store, metrics: MetricsDoor,
                 imports: ImportsDoor, *, hold: float, longest_wait: float, largest_body: int) -> None:  # fmt: skip
        self._operations = operations
        self._metrics = metrics
        self._callers = callers
        self._holding = holding
        self._events = EventStream(store)
        self._files = FilesDoor(store, callers)
        self._imports = imports
        self._hold = hold
        self._longest_wait = longest_wait
        self._largest_body = largest_body
        self._building = threading.Lock()
        self._app: Bounded | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app()(scope, receive, send)

    def app(self) -> Bounded:
        """The FastAPI application, built at the first call: half a second nobody should wait for who only uses the other door."""
        with self._building:
            if self._app is None:
                self._app = Bounded(self._build(), self._largest_body, STREAMED)
            return self._app

    def _build(self) -> FastAPI:
        app = FastAPI(
            title="Cachewright",
            version="1",
            description="A managed cache on your own machines. The same operations as the AWS Query door, as JSON.",
            redoc_url=None,
            responses={status: {"model": ProblemAnswer} for status in (400, 404, "4XX")},
            generate_unique_id_function=lambda route: route.name,
        )
        for promise in kept_promises().values():
            _add(app, promise, promise.path, promise.name, _signature(promise), self._performer(promise))
        _add(app, DESCRIBE_METRICS, DESCRIBE_METRICS.path, DESCRIBE_METRICS.name, _signature(DESCRIBE_METRICS), self._measurer())
        for single in SINGLES.values():
            self._add_one(app, single)
        app.get("/v1/events/stream", tags=["events"], summary="Events as they happen", include_in_schema=False)(self._stream)
        _add_files(app, self._files, self._imports)
        _handle_problems(app)
        return app

    def _performer(self, promise: Operation[Any, Any]) -> Callable[..., Any]:
        async def perform(request: Request, prefer: str | None = None, **given: Any) -> Response:
            world = self._callers.asks_for(request, promise.name, changes=not promise.reads)
            wait = _seconds(prefer, self._longest_wait)
            asked = _asked(promise, given)
            if not promise.reads:
                note_of(request.scope).about(promise, asked)
            if promise.reads and promise.subject is not None:
                await self._hold_back(world, promise.subject, asked, wait)
            answer = await run_in_threadpool(self._operations.run, promise.name, world, asked)
            return _named(request, await self._finish(promise, world, asked, answer, wait))

        return perform

    def _measurer(self) -> Callable[..., Any]:
        """What answers the one promise that no operation keeps: agents are asked."""

        async def measure(request: Request, prefer: str | None = None, **given: Any) -> Response:
            world = self._callers.asks_for(request, DESCRIBE_METRICS.name)
            asked = DESCRIBE_METRICS.takes.model_validate(_asked(DESCRIBE_METRICS, given))
            return _json(await run_in_threadpool(self._metrics.describe, world, asked), 200)

        return measure

    async def _hold_back(self, world: World, subject: Subject, asked: Shape, wait: float | None) -> None:
        """Hold an answer about one resource: as long as the caller would wait for it to settle, else until its status changes."""
        if wait is None:
            await self._holding.until_changed(world, subject, asked, self._hold)
        else:
            await self._holding.until_settled(world, subject, asked, wait)

    async def _finish(self, promise: Operation[Any, Any], world: World, asked: Shape, answer: Shape, wait: float | None) -> Response:
        """A read is done; a change is done when its resource has settled, which the caller may wait for."""
        subject = promise.subject
        if promise.reads or subject is None:
            return _json(answer, 200)
        settled = await self._holding.until_settled(world, subject, asked, wait or 0.0)
        if wait:
            answer = await run_in_threadpool(self._present, world, subject, asked, answer)
        return _json(answer, 200 if settled else 202)

    def _present(self, world: World, subject: Subject, asked: Shape, former: Shape) -> Shape:
        """The resource as it is now; as ``deleted`` when it is gone."""
        single = SINGLES[subject.kind]
        try:
            return self._one(world, single, subject.name(asked) or "")
        except Fault:
            return single.deleted(former)

    def _one(self, world: World, single: Single, name: str) -> Shape:
        return single.only(self._operations.run(single.describe.name, world, single.ask(name)))

    def _add_one(self, app: FastAPI, single: Single) -> None:
        """A resource by its id, as REST has it."""
        describe, subject = single.describe, single.subject

        async def show(request: Request, prefer: str | None = None, **given: Any) -> Response:
            world = self._callers.asks_for(request, describe.name)
            asked = describe.takes(**given)
            await self._hold_back(world, subject, asked, _seconds(prefer, self._longest_wait))
            return _json(await run_in_threadpool(self._one, world, single, given[subject.id_field]), 200)

        kind = subject.kind
        one = Operation.__new__(Operation)
        one.__dict__.update({**describe.__dict__, "gives": single.gives, "says": f"Show one {kind.replace('-', ' ')}."})
        path = f"{describe.path}/{{{subject.id_field}}}"
        parameters = [_path_parameter(subject.id_field), *_headers()]
        _add(app, one, path, f"Show{kind.title().replace('-', '')}", inspect.Signature(parameters), show)

    async def _stream(self, request: Request) -> Response:
        world = self._callers.asks_for(request, FOLLOW_EVENTS)
        followed = self._events.follow(world, lambda: self._callers.is_still_in(request))
        return StreamingResponse(followed, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def _add_files(app: FastAPI, files: FilesDoor, imports: ImportsDoor) -> None:
    """What is streamed, and so is no operation; docs/snapshots.md tells of it."""
    one = f"{_IMPORTS}/{{snapshot_name}}"
    app.get("/v1/snapshots/{snapshot_name}/files/{file}", include_in_schema=False)(files.download)
    app.put(f"{one}/{{file}}", include_in_schema=False)(imports.receive)
    app.get(one, include_in_schema=False)(imports.describe)
    app.post(one, include_in_schema=False)(imports.complete)
    app.delete(one, include_in_schema=False)(imports.forget)


def _add(app: FastAPI, promise: Operation[Any, Any], path: str, name: str, signature: inspect.Signature, perform: Any) -> None:
    perform.__signature__ = signature
    perform.__name__ = name
    changes = promise.subject is not None and not promise.reads
    answers: dict[int | str, dict[str, Any]] = {status: {"model": promise.gives} for status in ((200, 202) if changes else (200,))}
    app.add_api_route(
        f"/v1{path}",
        perform,
        methods=[promise.method],
        name=name,
        summary=promise.says,
        tags=[promise.path.split("/")[1]],
        status_code=_SUCCESS[promise.method] if changes else 200,
        response_model=None,
        responses=answers,
    )


def _signature(promise: Operation[Any, Any]) -> inspect.Signature:
    """The parameters of a route: the path's, then the query's or the body's, then the headers."""
    in_path = re.findall(r"{(\w+)}", promise.path)
    rest = {name: field for name, field in promise.takes.model_fields.items() if name not in in_path}
    parameters = [_path_parameter(name) for name in in_path]
    if promise.method in ("GET", "DELETE"):
        parameters += [_query_parameter(name, promise.takes.model_fields[name]) for name in rest]
    elif rest:
        parameters.append(inspect.Parameter("body", inspect.Parameter.KEYWORD_ONLY, annotation=_body_model(promise, rest)))
    return inspect.Signature([*parameters, *_headers()])


def _body_model(promise: Operation[Any, Any], fields: Mapping[str, Any]) -> type[BaseModel]:
    """The request without the fields that stand in the path; built at once, as FastAPI expects of a body."""
    parts: dict[str, Any] = {name: (field.annotation, field) for name, field in fields.items()}
    config = ConfigDict(extra="forbid", protected_namespaces=())
    return create_model(f"{promise.takes.__name__}Body", __config__=config, __doc__=promise.takes.__doc__, **parts)


def _path_parameter(name: str) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[str, Path(max_length=512)])


def _query_parameter(name: str, field: Any) -> inspect.Parameter:
    default = field.get_default(call_default_factory=True) if not field.is_required() else inspect.Parameter.empty
    plain: Any = list[str] if any_shape_in(field.annotation) is not None else field.annotation  # a part is written as one text there
    annotation = Annotated[plain, *field.metadata, Query()]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _headers() -> list[inspect.Parameter]:
    about = "wait=SECONDS holds the answer until the resource has settled"
    prefer = Annotated[str | None, Header(description=about)]
    return [
        inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY, annotation=Request),
        inspect.Parameter("prefer", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=prefer),
    ]


def _asked(promise: Operation[Any, Any], given: dict[str, Any]) -> Shape:
    body = given.pop("body", None)
    if body is not None:
        _must_be_whole_text(body)
    fields = {**(body.model_dump(exclude_unset=True) if body is not None else {}), **given}
    try:
        return promise.takes.model_validate(fields)  # type: ignore[no-any-return]
    except ValidationError as problem:
        raise fault_of(problem, promise.takes, aws=False) from problem


def _must_be_whole_text(body: BaseModel) -> None:
    """JSON can write half a character (``\\ud800``), which nothing can store or show. Raises InvalidParameterValue."""
    try:
        body.model_dump_json()
    except ValueError as unwritable:
        sentence = "The body holds half of a character, a surrogate such as \\ud800 without its other half."
        raise InvalidParameterValue(sentence) from unwritable


def _seconds(prefer: str | None, most: float) -> float | None:
    """How long the caller wants to wait, at the most; None where it does not say (``wait=0`` is to be answered at once)."""
    found = _PREFER.search(prefer or "")
    return min(float(found[1]), most) if found else None


def _named(request: Request, response: Response) -> Response:
    """The response with the id by which the audit has the request, if it has it."""
    if note_of(request.scope).request_id:
        response.headers["x-amzn-RequestId"] = note_of(request.scope).request_id
    return response


def _json(answer: Shape, status: int) -> Response:
    return Response(answer.model_dump_json(exclude_none=True), status, media_type="application/json")


def _handle_problems(app: FastAPI) -> None:
    """Every failure is answered in one form, with the service's code."""

    async def refuse(request: Request, problem: Exception) -> Response:
        note = note_of(request.scope)
        request_id = note.request_id or str(uuid.uuid4())
        if not isinstance(problem, Fault | RequestValidationError | HTTPException):
            log.error("request failed  request_id=%s", request_id, exc_info=problem)
        fault = _fault(problem, request_id)
        note.request_id, note.code = request_id, fault.code
        message = fault.message.encode(errors="replace").decode()
        body = {"error": {"code": fault.code, "message": message, "request_id": request_id}}
        return JSONResponse(body, fault.status, headers={"x-amzn-RequestId": request_id})

    for kind in (Fault, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, refuse)


def _fault(problem: Exception, request_id: str) -> Fault:
    if isinstance(problem, Fault):
        return problem
    if isinstance(problem, RequestValidationError):
        return fault_of_request(problem.errors())
    if isinstance(problem, HTTPException):
        if isinstance(problem.__cause__, Fault):  # such as a body that turned out too large while it was read
            return problem.__cause__
        if problem.status_code == 405:
            return MethodNotAllowed("This path does not take that method; /docs lists what it takes.")
        if problem.status_code == 404:
            return ResourceNotFound(message="There is nothing at this path; /docs lists what there is.")
        return InvalidParameterValue(str(problem.detail))
    return InternalFailure(f"The request failed inside Cachewright; its log has request {request_id}.")
