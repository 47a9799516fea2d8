"""The server as commands see it: its REST API, and what may go wrong on the way there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from api_schemas.credentials import Credentials

Json = dict[str, Any]

_PIECE = 1 << 20  # bytes of a file that are in memory at once
_PATIENCE = 30.0  # seconds for an answer that is not held


class RefusedError(Exception):
    """The server refused: its code and its sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class UnreachableError(Exception):
    """Nothing that speaks our REST API answers; the text says so."""


class Server:
    """The REST API at one address, for one account and region, with an access key where there is one."""

    def __init__(self, url: str, region: str | None = None, account_id: str | None = None,
                 credentials: Credentials | None = None) -> None:  # fmt: skip
        import httpx

        self.url = url.rstrip("/")
        world = {"X-Region": region, "X-Account-Id": account_id}
        headers = {name: value for name, value in world.items() if value}
        if credentials is not None:
            headers["Authorization"] = f"Bearer {credentials.token}"
        self._http = httpx.Client(headers=headers, timeout=_PATIENCE, trust_env=False)

    def get(self, *path: str, wait: float = 0, at_once: bool = False, **query: Any) -> Json:
        """What stands at a path. With ``wait``, once it has settled, or after so many seconds; ``at_once`` as it is now, whatever it is."""
        return self._ask("GET", path, query=query, wait=wait, at_once=at_once)

    def post(self, *path: str, body: Mapping[str, Any], patience: float = 0) -> Json:
        """The answer to a request to do something, which may take so many more seconds; members without a value are left out."""
        return self._ask("POST", path, body=body, patience=patience)

    def patch(self, *path: str, body: Mapping[str, Any]) -> Json:
        """The answer to a request to change something; members without a value are left out."""
        return self._ask("PATCH", path, body=body)

    def call(self, operation: str, ids: Mapping[str, str], body: Mapping[str, Any]) -> Json:
        """The answer of an operation, wherever its route is; ``ids`` are what the route names. Raises RefusedError where there is none."""
        for path, methods in self.openapi()["paths"].items():
            for method, offered in methods.items():
                if offered.get("operationId") == operation:
                    steps = path.removeprefix("/v1/").format(**ids).split("/")
                    return self._ask(method.upper(), tuple(steps), body=body)
        raise RefusedError("UnsupportedOperation", f"The server at {self.url} does not have {operation}; nothing was changed.")

    def delete(self, *path: str, **query: Any) -> Json:
        """The answer to a request to delete something."""
        return self._ask("DELETE", path, query=query)

    def all(self, path: str, member: str, **query: Any) -> list[Json]:
        """Every record of a listing, page after page."""
        records: list[Json] = []
        marker: str | None = None
        while True:
            page = self.get(path, **query, marker=marker)
            records += page[member]
            marker = page.get("marker")
            if not marker:
                return records

    def nodes(self, id_field: str, name: str) -> list[Json]:
        """The nodes of one resource."""
        return list(self._ask("GET", ("nodes",), query={id_field: name})["nodes"])

    def openapi(self) -> Json:
        """The description of everything the server can do."""
        return self._answer("GET", f"{self.url}/openapi.json")

    def stream(self, *path: str) -> Iterator[str]:
        """The lines of a stream that does not end by itself."""
        import httpx

        patience = httpx.Timeout(_PATIENCE, read=60.0)  # the server sends a comment every 15 s
        with self._reaching(), self._http.stream("GET", self._at(path), timeout=patience) as response:
            if response.is_error:
                response.read()
                raise self._refusal(response)
            yield from response.iter_lines()

    @contextmanager
    def download(self, *path: str) -> Iterator[tuple[int, Iterator[bytes]]]:
        """How many bytes a file has, and its pieces, for as long as the block lasts."""
        with self._reaching(), self._http.stream("GET", self._at(path)) as response:
            if response.is_error:
                response.read()
                raise self._refusal(response)
            yield int(response.headers["Content-Length"]), response.iter_raw(_PIECE)

    def upload(self, *path: str, pieces: Iterator[bytes], size: int) -> Json:
        """The answer to a file of so many bytes that is sent."""
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        return self._answer("PUT", self._at(path), content=pieces, headers=headers)

    def _ask(self, method: str, path: tuple[str, ...], *, query: Mapping[str, Any] | None = None,
             body: Mapping[str, Any] | None = None, wait: float = 0, patience: float = 0,
             at_once: bool = False) -> Json:  # fmt: skip
        given: dict[str, Any] = {"params": _present(query or {}), "timeout": _PATIENCE + wait + patience}
        if body is not None:
            given["json"] = _present(body)
        if wait or at_once:
            given["headers"] = {"Prefer": f"wait={max(1, round(wait)) if wait else 0}"}
        return self._answer(method, self._at(path), **given)

    def _answer(self, method: str, url: str, **given: Any) -> Json:
        with self._reaching():
            response = self._http.request(method, url, **given)
        if response.is_error:
            raise self._refusal(response)
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise self._stranger()
        return answer

    def _refusal(self, response: Any) -> Exception:
        try:
            error = response.json()["error"]
            return RefusedError(str(error["code"]), str(error["message"]))
        except (ValueError, KeyError, TypeError):
            return self._stranger()

    def _stranger(self) -> UnreachableError:
        return UnreachableError(f"what answers at {self.url} is not Cachewright; say where it is with --url or CACHEWRIGHT_URL.")

    def _reaching(self) -> _Reaching:
        return _Reaching(self.url)

    def _at(self, path: tuple[str, ...]) -> str:
        return "/".join([self.url, "v1", *map(_quoted, path)])


class _Reaching:
    """Turns what may go wrong between here and the server into an UnreachableError."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None:
        return

    def __exit__(self, _: object, problem: BaseException | None, __: object) -> None:
        import httpx

        if isinstance(problem, httpx.InvalidURL | httpx.UnsupportedProtocol):
            raise UnreachableError(f"{self._url} is not the URL of a server; they look like http://127.0.0.1:8379.") from problem
        if isinstance(problem, httpx.TimeoutException) and not isinstance(problem, httpx.ConnectTimeout):
            raise UnreachableError(f"the server at {self._url} does not answer.") from problem
        if isinstance(problem, httpx.TransportError):
            raise UnreachableError(
                f"no Cachewright server answers at {self._url}. Start one with `cachewright serve`, "
                "or say where it is with --url or CACHEWRIGHT_URL."
            ) from problem


def _present(members: Mapping[str, Any]) -> Json:
    return {name: value for name, value in members.items() if value is not None and value != []}


def _quoted(part: str) -> str:
    """A part of a path, in which a name stays one part whatever it contains."""
    return part.replace(".", "%2E") if part in (".", "..") else quote(part, safe="")
