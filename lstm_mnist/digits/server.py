"""An HTTP server that computes one reading at a time and that no visitor can block."""

import json
import logging
import socket
import time
from collections.abc import Callable
from typing import Any

import waitress
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.task import ErrorTask

MAX_CONNECTIONS = 500
# Seconds within which a whole request must arrive, and after which idle connections end.
TIMEOUT = 15


def create(
    application: Callable[..., Any],
    listener: socket.socket,
    max_bytes: int,
    timeout: float = TIMEOUT,
) -> Any:
    """Return a server of a WSGI application at a bound socket, whose `run` ends at a signal."""
    # It warns about every request that has to wait for another one.
    logging.getLogger("waitress").setLevel(logging.ERROR)
    server = waitress.create_server(
        application,
        sockets=[listener],
        threads=1,  # a reading takes all cores
        max_request_body_size=max_bytes,
        max_request_header_size=2**15,
        connection_limit=MAX_CONNECTIONS,
        channel_timeout=timeout,
        cleanup_interval=1,
        asyncore_use_poll=True,  # select has a limit of its own
        log_socket_errors=False,
        ident=None,
    )
    server.channel_class = _Channel
    return server


class _Refusal(ErrorTask):
    """A refusal by the server itself, as JSON like the application's refusals."""

    def execute(self) -> None:
        error = self.request.error
        body = json.dumps({"error": f"{error.reason}: {error.body}."}).encode()
        self.status = f"{error.code} {error.reason}"
        self.response_headers += [
            ("Content-Type", "application/json"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Parser(HTTPRequestParser):
    """A parser to which whatever is malformed is a bad request."""

    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError as error:
            raise ParsingError("The header is malformed") from error


class _Channel(HTTPChannel):
    """A connection on which a trickle of bytes does not count as activity."""

    error_task_class = _Refusal
    parser_class = _Parser
    last_activity: float
    request: Any  # which is arriving, if any

    def handle_read(self) -> None:
        begun = self.last_activity if self.request else time.time()
        super().handle_read()
        self.last_activity = begun
