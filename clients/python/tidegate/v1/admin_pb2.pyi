import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from tidegate.v1 import packet_pb2 as _packet_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LaneKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LANE_KIND_UNSPECIFIED: _ClassVar[LaneKind]
    LANE_KIND_ACTION: _ClassVar[LaneKind]
    LANE_KIND_MIXED: _ClassVar[LaneKind]
    LANE_KIND_READS: _ClassVar[LaneKind]
    LANE_KIND_INTAKE: _ClassVar[LaneKind]

class Circuit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CIRCUIT_UNSPECIFIED: _ClassVar[Circuit]
    CIRCUIT_CLOSED: _ClassVar[Circuit]
    CIRCUIT_OPEN: _ClassVar[Circuit]
    CIRCUIT_PROBING: _ClassVar[Circuit]

class DeathCause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEATH_CAUSE_UNSPECIFIED: _ClassVar[DeathCause]
    DEATH_CAUSE_POISON: _ClassVar[DeathCause]
    DEATH_CAUSE_SPENT: _ClassVar[DeathCause]
LANE_KIND_UNSPECIFIED: LaneKind
LANE_KIND_ACTION: LaneKind
LANE_KIND_MIXED: LaneKind
LANE_KIND_READS: LaneKind
LANE_KIND_INTAKE: LaneKind
CIRCUIT_UNSPECIFIED: Circuit
CIRCUIT_CLOSED: Circuit
CIRCUIT_OPEN: Circuit
CIRCUIT_PROBING: Circuit
DEATH_CAUSE_UNSPECIFIED: DeathCause
DEATH_CAUSE_POISON: DeathCause
DEATH_CAUSE_SPENT: DeathCause

class LanesRequest(_message.Message):
    __slots__ = ("handler",)
    HANDLER_FIELD_NUMBER: _ClassVar[int]
    handler: str
    def __init__(self, handler: _Optional[str] = ...) -> None: ...

class LanesResponse(_message.Message):
    __slots__ = ("lanes",)
    LANES_FIELD_NUMBER: _ClassVar[int]
    lanes: _containers.RepeatedCompositeFieldContainer[Lane]
    def __init__(self, lanes: _Optional[_Iterable[_Union[Lane, _Mapping]]] = ...) -> None: ...

class Lane(_message.Message):
    __slots__ = ("handler", "tenant", "kind", "action", "method", "waiting", "in_flight", "held", "oldest", "batches", "packets", "reasons", "calls_in_flight", "calls_failed", "latency", "backlog", "searches", "circuit", "circuit_open_for")
    HANDLER_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    OLDEST_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    PACKETS_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    CALLS_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    CALLS_FAILED_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    BACKLOG_FIELD_NUMBER: _ClassVar[int]
    SEARCHES_FIELD_NUMBER: _ClassVar[int]
    CIRCUIT_FIELD_NUMBER: _ClassVar[int]
    CIRCUIT_OPEN_FOR_FIELD_NUMBER: _ClassVar[int]
    handler: str
    tenant: str
    kind: LaneKind
    action: _packet_pb2.Action
    method: str
    waiting: Amount
    in_flight: Amount
    held: Amount
    oldest: _duration_pb2.Duration
    batches: int
    packets: int
    reasons: BatchReasons
    calls_in_flight: int
    calls_failed: int
    latency: _duration_pb2.Duration
    backlog: _duration_pb2.Duration
    searches: int
    circuit: Circuit
    circuit_open_for: _duration_pb2.Duration
    def __init__(self, handler: _Optional[str] = ..., tenant: _Optional[str] = ..., kind: _Optional[_Union[LaneKind, str]] = ..., action: _Optional[_Union[_packet_pb2.Action, str]] = ..., method: _Optional[str] = ..., waiting: _Optional[_Union[Amount, _Mapping]] = ..., in_flight: _Optional[_Union[Amount, _Mapping]] = ..., held: _Optional[_Union[Amount, _Mapping]] = ..., oldest: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., batches: _Optional[int] = ..., packets: _Optional[int] = ..., reasons: _Optional[_Union[BatchReasons, _Mapping]] = ..., calls_in_flight: _Optional[int] = ..., calls_failed: _Optional[int] = ..., latency: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., backlog: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., searches: _Optional[int] = ..., circuit: _Optional[_Union[Circuit, str]] = ..., circuit_open_for: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Amount(_message.Message):
    __slots__ = ("packets", "bytes")
    PACKETS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    packets: int
    bytes: int
    def __init__(self, packets: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class BatchReasons(_message.Message):
    __slots__ = ("idle", "whole", "latency", "window", "flush", "drain", "search")
    IDLE_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    FLUSH_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    idle: int
    whole: int
    latency: int
    window: int
    flush: int
    drain: int
    search: int
    def __init__(self, idle: _Optional[int] = ..., whole: _Optional[int] = ..., latency: _Optional[int] = ..., window: _Optional[int] = ..., flush: _Optional[int] = ..., drain: _Optional[int] = ..., search: _Optional[int] = ...) -> None: ...

class FlushRequest(_message.Message):
    __slots__ = ("handler", "action", "method")
    HANDLER_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    handler: str
    action: _packet_pb2.Action
    method: str
    def __init__(self, handler: _Optional[str] = ..., action: _Optional[_Union[_packet_pb2.Action, str]] = ..., method: _Optional[str] = ...) -> None: ...

class FlushResponse(_message.Message):
    __slots__ = ("lanes", "packets")
    LANES_FIELD_NUMBER: _ClassVar[int]
    PACKETS_FIELD_NUMBER: _ClassVar[int]
    lanes: int
    packets: int
    def __init__(self, lanes: _Optional[int] = ..., packets: _Optional[int] = ...) -> None: ...

class ClearRequest(_message.Message):
    __slots__ = ("handler", "action", "method")
    HANDLER_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    handler: str
    action: _packet_pb2.Action
    method: str
    def __init__(self, handler: _Optional[str] = ..., action: _Optional[_Union[_packet_pb2.Action, str]] = ..., method: _Optional[str] = ...) -> None: ...

class ClearResponse(_message.Message):
    __slots__ = ("cleared", "in_flight")
    CLEARED_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    cleared: Amount
    in_flight: Amount
    def __init__(self, cleared: _Optional[_Union[Amount, _Mapping]] = ..., in_flight: _Optional[_Union[Amount, _Mapping]] = ...) -> None: ...

class DeadLettersRequest(_message.Message):
    __slots__ = ("handler", "page_size", "page_token", "content")
    HANDLER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    handler: str
    page_size: int
    page_token: str
    content: bool
    def __init__(self, handler: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., content: bool = ...) -> None: ...

class DeadLettersResponse(_message.Message):
    __slots__ = ("letters", "next_page_token")
    LETTERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    letters: _containers.RepeatedCompositeFieldContainer[DeadLetter]
    next_page_token: str
    def __init__(self, letters: _Optional[_Iterable[_Union[DeadLetter, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeadLetter(_message.Message):
    __slots__ = ("id", "packet", "client_id", "subject", "tenant", "bytes", "attempts", "cause", "message", "taken_at", "given_up_at", "held")
    ID_FIELD_NUMBER: _ClassVar[int]
    PACKET_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TAKEN_AT_FIELD_NUMBER: _ClassVar[int]
    GIVEN_UP_AT_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    id: int
    packet: _packet_pb2.Packet
    client_id: str
    subject: str
    tenant: str
    bytes: int
    attempts: int
    cause: DeathCause
    message: str
    taken_at: _timestamp_pb2.Timestamp
    given_up_at: _timestamp_pb2.Timestamp
    held: bool
    def __init__(self, id: _Optional[int] = ..., packet: _Optional[_Union[_packet_pb2.Packet, _Mapping]] = ..., client_id: _Optional[str] = ..., subject: _Optional[str] = ..., tenant: _Optional[str] = ..., bytes: _Optional[int] = ..., attempts: _Optional[int] = ..., cause: _Optional[_Union[DeathCause, str]] = ..., message: _Optional[str] = ..., taken_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., given_up_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., held: bool = ...) -> None: ...

class RetryDeadLettersRequest(_message.Message):
    __slots__ = ("ids", "handler")
    IDS_FIELD_NUMBER: _ClassVar[int]
    HANDLER_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[int]
    handler: str
    def __init__(self, ids: _Optional[_Iterable[int]] = ..., handler: _Optional[str] = ...) -> None: ...

class RetryDeadLettersResponse(_message.Message):
    __slots__ = ("retried", "left", "reasons")
    RETRIED_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    retried: int
    left: int
    reasons: _containers.RepeatedCompositeFieldContainer[LetterLeft]
    def __init__(self, retried: _Optional[int] = ..., left: _Optional[int] = ..., reasons: _Optional[_Iterable[_Union[LetterLeft, _Mapping]]] = ...) -> None: ...

class DiscardDeadLettersRequest(_message.Message):
    __slots__ = ("ids", "handler")
    IDS_FIELD_NUMBER: _ClassVar[int]
    HANDLER_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[int]
    handler: str
    def __init__(self, ids: _Optional[_Iterable[int]] = ..., handler: _Optional[str] = ...) -> None: ...

class DiscardDeadLettersResponse(_message.Message):
    __slots__ = ("discarded", "left", "reasons")
    DISCARDED_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    discarded: int
    left: int
    reasons: _containers.RepeatedCompositeFieldContainer[LetterLeft]
    def __init__(self, discarded: _Optional[int] = ..., left: _Optional[int] = ..., reasons: _Optional[_Iterable[_Union[LetterLeft, _Mapping]]] = ...) -> None: ...

class LetterLeft(_message.Message):
    __slots__ = ("id", "message")
    ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    id: int
    message: str
    def __init__(self, id: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class StreamsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class StreamsResponse(_message.Message):
    __slots__ = ("streams", "next_page_token", "open")
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    streams: _containers.RepeatedCompositeFieldContainer[StreamInfo]
    next_page_token: str
    open: int
    def __init__(self, streams: _Optional[_Iterable[_Union[StreamInfo, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., open: _Optional[int] = ...) -> None: ...

class StreamInfo(_message.Message):
    __slots__ = ("number", "subject", "tenant", "client_id", "patterns", "peer", "age", "lag", "events", "bytes")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    PATTERNS_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    number: int
    subject: str
    tenant: str
    client_id: str
    patterns: _containers.RepeatedScalarFieldContainer[str]
    peer: str
    age: _duration_pb2.Duration
    lag: int
    events: int
    bytes: int
    def __init__(self, number: _Optional[int] = ..., subject: _Optional[str] = ..., tenant: _Optional[str] = ..., client_id: _Optional[str] = ..., patterns: _Optional[_Iterable[str]] = ..., peer: _Optional[str] = ..., age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., lag: _Optional[int] = ..., events: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class BackupRequest(_message.Message):
    __slots__ = ("directory",)
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    directory: str
    def __init__(self, directory: _Optional[str] = ...) -> None: ...

class BackupResponse(_message.Message):
    __slots__ = ("bytes", "files", "took")
    BYTES_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    TOOK_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    files: int
    took: _duration_pb2.Duration
    def __init__(self, bytes: _Optional[int] = ..., files: _Optional[int] = ..., took: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class DrainRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DrainResponse(_message.Message):
    __slots__ = ("limit",)
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    limit: _duration_pb2.Duration
    def __init__(self, limit: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
