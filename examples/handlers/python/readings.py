"""A handler in Python: readings of sensors, each batch of them one statement into SQLite.

A packet is a CREATE: its key is the sensor, and its content is {"at": 1767225600, "value": 21.5}, with Unix seconds.
"""

import argparse
import json
import math
import signal
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from tidegate.v1 import handler_pb2_grpc
from tidegate.v1.handler_pb2 import HandleResponse, HandleResult
from tidegate.v1.packet_pb2 import ACTION_CREATE, OUTCOME_OK, OUTCOME_REJECTED, OUTCOME_RETRY
from tidegate.v1.packet_pb2 import REASON_INVALID_DATA, REASON_UNSUPPORTED_ACTION

TABLES = """
CREATE TABLE IF NOT EXISTS readings (
    id TEXT PRIMARY KEY, -- of the item that brought it, so that it comes in once
    tenant TEXT, sensor TEXT, at REAL, value REAL,
    written INTEGER DEFAULT (unixepoch()) -- by which it may be removed; "at" is the sensor's own time
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS terms (
    handler TEXT, domain INTEGER, term INTEGER, PRIMARY KEY (handler, domain)
) WITHOUT ROWID;
"""

# All rows of a batch are one parameter, so there may be any number of them.
WRITE = """
INSERT INTO readings (id, tenant, sensor, at, value)
SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each(?) WHERE true
ON CONFLICT DO NOTHING
"""
RAISE = """
INSERT INTO terms SELECT value->>0, value->>1, value->>2 FROM json_each(?) WHERE true
ON CONFLICT DO UPDATE SET term = max(term, excluded.term) RETURNING domain, term
"""


class Readings(handler_pb2_grpc.HandlerServicer):
    def __init__(self, path):
        self.lock = threading.Lock()
        # It waits for less long than the gateway does for an answer.
        self.db = sqlite3.connect(path, timeout=2, check_same_thread=False)
        # FULL: what is committed is on disk.
        self.db.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; {TABLES}")

    def Handle(self, request, context):
        """Does a batch in one transaction: the readings, under the ids that brought them, and the terms."""
        try:
            with self.lock, self.db:
                terms = self.raise_terms(request)
                answers = [answer(item, terms[item.domain]) for item in request.items]
                rows = [row for _, row in answers if row]
                self.db.execute(WRITE, [json.dumps(rows)])
                if not context.is_active():
                    # Nobody waits any more: what the gateway may have given up meanwhile is not done after that.
                    context.abort(grpc.StatusCode.CANCELLED, "nobody waits for it")
        except sqlite3.Error as error:
            # No item is to blame: the gateway calls again with all of them.
            context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        return HandleResponse(results=[result for result, _ in answers])

    def raise_terms(self, request):
        """The highest term that was seen of each domain in the batch."""
        here = {}
        for item in request.items:
            here[item.domain] = max(item.term, here.get(item.domain, 0))
        rows = [(request.handler, domain, term) for domain, term in here.items()]
        return dict(self.db.execute(RAISE, [json.dumps(rows)]).fetchall())


def answer(item, term):
    """What the item is told, and the row that it makes, if it makes one."""
    if item.term < term:
        # Its domain has another owner by now. So has all of its chain, so nothing of that goes past it.
        return HandleResult(id=item.id, outcome=OUTCOME_RETRY), None
    if item.action != ACTION_CREATE:
        return refusal(item, REASON_UNSUPPORTED_ACTION, "a reading is created, and nothing else"), None
    if "\0" in item.key:
        # For SQLite's JSON a text ends there, so two names would be one.
        return refusal(item, REASON_INVALID_DATA, "a sensor's name has no NUL"), None
    try:
        row = item.id, item.principal.tenant, item.key, *reading(item.data)
    except Exception:  # Whatever its content does to who reads it, the rest of the batch goes on.
        return refusal(item, REASON_INVALID_DATA, 'a reading is {"at": 1767225600, "value": 21.5}'), None
    return HandleResult(id=item.id, outcome=OUTCOME_OK), row


def reading(data):
    [content] = data
    fields = json.loads(content)
    at, value = float(fields["at"]), float(fields["value"])
    if not (math.isfinite(at) and math.isfinite(value)):
        raise ValueError("not a number")
    return at, value


def refusal(item, reason, message):
    return HandleResult(id=item.id, outcome=OUTCOME_REJECTED, reason=reason, message=message)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1:7002", help="where the gateway finds it; port 0 is one that is free")
    parser.add_argument("--data", default="readings.db", help="the SQLite file that everything is kept in")
    options = parser.parse_args()

    readings, healthy = Readings(options.data), health.HealthServicer()
    server = grpc.server(ThreadPoolExecutor(max_workers=8))
    handler_pb2_grpc.add_HandlerServicer_to_server(readings, server)
    # The gateway asks an address that was away whether it is back.
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    port = server.add_insecure_port(options.listen)
    server.start()
    print(f"listening on {options.listen.rpartition(':')[0]}:{port}", flush=True)

    stop = threading.Event()
    for number in signal.SIGTERM, signal.SIGINT:
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
    healthy.enter_graceful_shutdown()
    server.stop(grace=10).wait()
    readings.db.close()


if __name__ == "__main__":
    main()
