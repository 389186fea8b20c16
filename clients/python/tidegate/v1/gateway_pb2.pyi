import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from tidegate.v1 import message_pb2 as _message_pb2
from tidegate.v1 import packet_pb2 as _packet_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Ack(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACK_UNSPECIFIED: _ClassVar[Ack]
    ACK_APPLIED: _ClassVar[Ack]
    ACK_ACCEPTED: _ClassVar[Ack]

class Start(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    START_UNSPECIFIED: _ClassVar[Start]
    START_NOW: _ClassVar[Start]
    START_EARLIEST: _ClassVar[Start]
    START_LATEST: _ClassVar[Start]
ACK_UNSPECIFIED: Ack
ACK_APPLIED: Ack
ACK_ACCEPTED: Ack
START_UNSPECIFIED: Start
START_NOW: Start
START_EARLIEST: Start
START_LATEST: Start

class BatchRequest(_message.Message):
    __slots__ = ("packets", "client_id", "ack", "settled", "wait")
    PACKETS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    SETTLED_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    packets: _containers.RepeatedCompositeFieldContainer[_packet_pb2.Packet]
    client_id: str
    ack: Ack
    settled: _containers.RepeatedCompositeFieldContainer[Settled]
    wait: _duration_pb2.Duration
    def __init__(self, packets: _Optional[_Iterable[_Union[_packet_pb2.Packet, _Mapping]]] = ..., client_id: _Optional[str] = ..., ack: _Optional[_Union[Ack, str]] = ..., settled: _Optional[_Iterable[_Union[Settled, _Mapping]]] = ..., wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Settled(_message.Message):
    __slots__ = ("handler", "through", "req_ids")
    HANDLER_FIELD_NUMBER: _ClassVar[int]
    THROUGH_FIELD_NUMBER: _ClassVar[int]
    REQ_IDS_FIELD_NUMBER: _ClassVar[int]
    handler: str
    through: int
    req_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, handler: _Optional[str] = ..., through: _Optional[int] = ..., req_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class BatchResponse(_message.Message):
    __slots__ = ("results", "client_id", "cursor")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[_packet_pb2.PacketResult]
    client_id: str
    cursor: str
    def __init__(self, results: _Optional[_Iterable[_Union[_packet_pb2.PacketResult, _Mapping]]] = ..., client_id: _Optional[str] = ..., cursor: _Optional[str] = ...) -> None: ...

class EventsRequest(_message.Message):
    __slots__ = ("client_id", "topics", "cursor", "start", "last", "skip_own")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    SKIP_OWN_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    topics: _containers.RepeatedScalarFieldContainer[str]
    cursor: str
    start: Start
    last: int
    skip_own: bool
    def __init__(self, client_id: _Optional[str] = ..., topics: _Optional[_Iterable[str]] = ..., cursor: _Optional[str] = ..., start: _Optional[_Union[Start, str]] = ..., last: _Optional[int] = ..., skip_own: bool = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("cursor", "connected", "heartbeat", "results", "message", "gap", "go_away")
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    GO_AWAY_FIELD_NUMBER: _ClassVar[int]
    cursor: str
    connected: Connected
    heartbeat: Heartbeat
    results: BatchResponse
    message: _message_pb2.Message
    gap: Gap
    go_away: GoAway
    def __init__(self, cursor: _Optional[str] = ..., connected: _Optional[_Union[Connected, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., results: _Optional[_Union[BatchResponse, _Mapping]] = ..., message: _Optional[_Union[_message_pb2.Message, _Mapping]] = ..., gap: _Optional[_Union[Gap, _Mapping]] = ..., go_away: _Optional[_Union[GoAway, _Mapping]] = ...) -> None: ...

class Connected(_message.Message):
    __slots__ = ("node", "resumed", "heartbeat_interval", "subject")
    NODE_FIELD_NUMBER: _ClassVar[int]
    RESUMED_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    node: str
    resumed: bool
    heartbeat_interval: _duration_pb2.Duration
    subject: str
    def __init__(self, node: _Optional[str] = ..., resumed: bool = ..., heartbeat_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., subject: _Optional[str] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Gap(_message.Message):
    __slots__ = ("cause", "pattern", "missed")
    class Cause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CAUSE_UNSPECIFIED: _ClassVar[Gap.Cause]
        CAUSE_RETENTION: _ClassVar[Gap.Cause]
        CAUSE_HISTORY: _ClassVar[Gap.Cause]
        CAUSE_SLOW: _ClassVar[Gap.Cause]
        CAUSE_DAMAGE: _ClassVar[Gap.Cause]
    CAUSE_UNSPECIFIED: Gap.Cause
    CAUSE_RETENTION: Gap.Cause
    CAUSE_HISTORY: Gap.Cause
    CAUSE_SLOW: Gap.Cause
    CAUSE_DAMAGE: Gap.Cause
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    MISSED_FIELD_NUMBER: _ClassVar[int]
    cause: Gap.Cause
    pattern: str
    missed: int
    def __init__(self, cause: _Optional[_Union[Gap.Cause, str]] = ..., pattern: _Optional[str] = ..., missed: _Optional[int] = ...) -> None: ...

class GoAway(_message.Message):
    __slots__ = ("cause", "reconnect_after")
    class Cause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CAUSE_UNSPECIFIED: _ClassVar[GoAway.Cause]
        CAUSE_AGE: _ClassVar[GoAway.Cause]
        CAUSE_DRAINING: _ClassVar[GoAway.Cause]
        CAUSE_UNAUTHENTICATED: _ClassVar[GoAway.Cause]
    CAUSE_UNSPECIFIED: GoAway.Cause
    CAUSE_AGE: GoAway.Cause
    CAUSE_DRAINING: GoAway.Cause
    CAUSE_UNAUTHENTICATED: GoAway.Cause
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    RECONNECT_AFTER_FIELD_NUMBER: _ClassVar[int]
    cause: GoAway.Cause
    reconnect_after: _duration_pb2.Duration
    def __init__(self, cause: _Optional[_Union[GoAway.Cause, str]] = ..., reconnect_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ResultsRequest(_message.Message):
    __slots__ = ("client_id", "req_ids", "handler", "from_seq")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    REQ_IDS_FIELD_NUMBER: _ClassVar[int]
    HANDLER_FIELD_NUMBER: _ClassVar[int]
    FROM_SEQ_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    req_ids: _containers.RepeatedScalarFieldContainer[str]
    handler: str
    from_seq: int
    def __init__(self, client_id: _Optional[str] = ..., req_ids: _Optional[_Iterable[str]] = ..., handler: _Optional[str] = ..., from_seq: _Optional[int] = ...) -> None: ...

class ResultsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[_packet_pb2.PacketResult]
    def __init__(self, results: _Optional[_Iterable[_Union[_packet_pb2.PacketResult, _Mapping]]] = ...) -> None: ...

class InfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class InfoResponse(_message.Message):
    __slots__ = ("version", "node", "subject", "tenant", "max_packets", "max_request_bytes", "max_packet_bytes", "handlers")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MAX_PACKETS_FIELD_NUMBER: _ClassVar[int]
    MAX_REQUEST_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_PACKET_BYTES_FIELD_NUMBER: _ClassVar[int]
    HANDLERS_FIELD_NUMBER: _ClassVar[int]
    version: str
    node: str
    subject: str
    tenant: str
    max_packets: int
    max_request_bytes: int
    max_packet_bytes: int
    handlers: _containers.RepeatedCompositeFieldContainer[HandlerInfo]
    def __init__(self, version: _Optional[str] = ..., node: _Optional[str] = ..., subject: _Optional[str] = ..., tenant: _Optional[str] = ..., max_packets: _Optional[int] = ..., max_request_bytes: _Optional[int] = ..., max_packet_bytes: _Optional[int] = ..., handlers: _Optional[_Iterable[_Union[HandlerInfo, _Mapping]]] = ...) -> None: ...

class HandlerInfo(_message.Message):
    __slots__ = ("name", "kind", "actions", "methods", "durable")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    DURABLE_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    actions: _containers.RepeatedScalarFieldContainer[_packet_pb2.Action]
    methods: _containers.RepeatedScalarFieldContainer[str]
    durable: bool
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., actions: _Optional[_Iterable[_Union[_packet_pb2.Action, str]]] = ..., methods: _Optional[_Iterable[str]] = ..., durable: bool = ...) -> None: ...
