"""The load: LANES keep-alive connections driven by one thread over epoll, the cheapest client Python can be.

A lane sends its next request only when its last answer is complete, and hands every answer to the subject,
which raises when it is not a success with a new token.
"""

from __future__ import annotations

import select
import socket
import time
from dataclasses import dataclass, field
from typing import Protocol

LANES = 16
ANSWER_SECONDS = 20


class Requests(Protocol):
    """What the load needs of a subject."""

    def request(self, lane: int) -> bytes:
        """Return the next HTTP/1.1 request of `lane`, whole."""

    def accept(self, lane: int, status: int, body: bytes) -> None:
        """Check one answer and keep what the lane's next request needs; raise WrongAnswer otherwise."""


class WrongAnswer(Exception):
    """A subject answered something else than a success with a new token."""


@dataclass
class Lane:
    """One connection: when its request was sent and what has arrived of the answer."""

    number: int
    socket: socket.socket
    sent_at: float = 0.0
    received: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True)
class Sample:
    """One stretch of load: seconds from first request to last answer, each latency in seconds, sorted."""

    seconds: float
    latencies: list[float]

    @property
    def throughput(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def percentile_ms(self, percent: int) -> float:
        """Return the latency, in ms, that `percent` of the answers did not exceed."""
        position = min(len(self.latencies) - 1, len(self.latencies) * percent // 100)
        return self.latencies[position] * 1000


def post(path: str, body: bytes, headers: str = "") -> bytes:
    """Return a JSON POST for a keep-alive connection; `headers` are whole lines ending in CRLF."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n{headers}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def connect(port: int) -> socket.socket:
    """Open one connection to a loopback server."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def parse_answer(received: bytearray) -> tuple[int, bytes] | None:
    """Return (status, body) once `received` holds a whole answer, with a length or in chunks, else None."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(received[:end]).lower()
    status, body_at = int(head[9:12]), end + 4
    _, sized, length = head.partition(b"\r\ncontent-length:")
    if sized:
        total = body_at + int(length.split(b"\r\n", 1)[0])
        return None if len(received) < total else (status, bytes(received[body_at:total]))
    if b"\r\ntransfer-encoding: chunked" not in head:
        raise WrongAnswer(f"an answer without a length: {head[:200]!r}")
    if not received.endswith(b"\r\n0\r\n\r\n"):
        return None
    body = bytearray()
    while (line_end := received.find(b"\r\n", body_at)) >= 0 and (
        size := int(received[body_at:line_end], 16)
    ):
        body += received[line_end + 2 : line_end + 2 + size]
        body_at = line_end + 2 + size + 2
    return status, bytes(body)


def exchange(connection: socket.socket, request: bytes) -> tuple[int, bytes]:
    """Send one request and wait for its answer."""
    connection.sendall(request)
    return receive(connection)


def receive(connection: socket.socket) -> tuple[int, bytes]:
    """Wait for the answer to a request that was sent."""
    received = bytearray()
    while True:
        chunk = connection.recv(65536)
        if not chunk:
            raise WrongAnswer("the server closed the connection")
        received += chunk
        if answer := parse_answer(received):
            return answer


def run(subject: Requests, port: int, seconds: float, lanes: int = LANES) -> Sample:
    """Drive `lanes` connections for `seconds`, then let the requests under way finish."""
    poll = select.epoll()
    open_lanes: dict[int, Lane] = {}
    latencies: list[float] = []
    try:
        for number in range(lanes):
            lane = Lane(number, connect(port))
            open_lanes[lane.socket.fileno()] = lane
            poll.register(lane.socket, select.EPOLLIN)
        started = time.perf_counter()
        deadline = started + seconds
        for lane in open_lanes.values():
            lane.sent_at = time.perf_counter()
            lane.socket.sendall(subject.request(lane.number))
        waiting = lanes
        while waiting:
            ready = poll.poll(ANSWER_SECONDS)
            if not ready:
                raise WrongAnswer(f"no answer within {ANSWER_SECONDS} s")
            for descriptor, _ in ready:
                lane = open_lanes[descriptor]
                chunk = lane.socket.recv(65536)
                if not chunk:
                    raise WrongAnswer("the server closed the connection")
                lane.received += chunk
                answer = parse_answer(lane.received)
                if answer is None:
                    continue
                now = time.perf_counter()
                latencies.append(now - lane.sent_at)
                lane.received.clear()
                subject.accept(lane.number, *answer)
                if now >= deadline:
                    waiting -= 1
                    continue
                lane.sent_at = now
                lane.socket.sendall(subject.request(lane.number))
        return Sample(time.perf_counter() - started, sorted(latencies))
    finally:
        poll.close()
        for lane in open_lanes.values():
            lane.socket.close()
