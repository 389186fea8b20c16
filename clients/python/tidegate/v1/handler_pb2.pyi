import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from tidegate.v1 import packet_pb2 as _packet_pb2
from tidegate.v1 import records_pb2 as _records_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HandleRequest(_message.Message):
    __slots__ = ("handler", "action", "method", "batch_id", "items")
    HANDLER_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    handler: str
    action: _packet_pb2.Action
    method: str
    batch_id: str
    items: _containers.RepeatedCompositeFieldContainer[HandleItem]
    def __init__(self, handler: _Optional[str] = ..., action: _Optional[_Union[_packet_pb2.Action, str]] = ..., method: _Optional[str] = ..., batch_id: _Optional[str] = ..., items: _Optional[_Iterable[_Union[HandleItem, _Mapping]]] = ...) -> None: ...

class HandleItem(_message.Message):
    __slots__ = ("id", "chain", "action", "key", "data", "headers", "files", "principal", "client_id", "req_id", "seq", "attempt", "remaining", "received_at", "method", "if_version", "page_size", "page_token", "domain", "term")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class FilesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _packet_pb2.File
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_packet_pb2.File, _Mapping]] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    REQ_ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    IF_VERSION_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    id: str
    chain: int
    action: _packet_pb2.Action
    key: str
    data: _containers.RepeatedScalarFieldContainer[bytes]
    headers: _containers.ScalarMap[str, str]
    files: _containers.MessageMap[str, _packet_pb2.File]
    principal: Principal
    client_id: str
    req_id: str
    seq: int
    attempt: int
    remaining: _duration_pb2.Duration
    received_at: _timestamp_pb2.Timestamp
    method: str
    if_version: int
    page_size: int
    page_token: str
    domain: int
    term: int
    def __init__(self, id: _Optional[str] = ..., chain: _Optional[int] = ..., action: _Optional[_Union[_packet_pb2.Action, str]] = ..., key: _Optional[str] = ..., data: _Optional[_Iterable[bytes]] = ..., headers: _Optional[_Mapping[str, str]] = ..., files: _Optional[_Mapping[str, _packet_pb2.File]] = ..., principal: _Optional[_Union[Principal, _Mapping]] = ..., client_id: _Optional[str] = ..., req_id: _Optional[str] = ..., seq: _Optional[int] = ..., attempt: _Optional[int] = ..., remaining: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., method: _Optional[str] = ..., if_version: _Optional[int] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., domain: _Optional[int] = ..., term: _Optional[int] = ...) -> None: ...

class Principal(_message.Message):
    __slots__ = ("subject", "tenant", "roles")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    subject: str
    tenant: str
    roles: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, subject: _Optional[str] = ..., tenant: _Optional[str] = ..., roles: _Optional[_Iterable[str]] = ...) -> None: ...

class HandleResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[HandleResult]
    def __init__(self, results: _Optional[_Iterable[_Union[HandleResult, _Mapping]]] = ...) -> None: ...

class HandleResult(_message.Message):
    __slots__ = ("id", "outcome", "reason", "message", "code", "data", "text", "records", "next_page_token", "headers", "retry_after", "publish")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_FIELD_NUMBER: _ClassVar[int]
    id: str
    outcome: _packet_pb2.Outcome
    reason: _packet_pb2.Reason
    message: str
    code: str
    data: _containers.RepeatedScalarFieldContainer[bytes]
    text: _containers.RepeatedScalarFieldContainer[str]
    records: _containers.RepeatedCompositeFieldContainer[_records_pb2.Record]
    next_page_token: str
    headers: _containers.ScalarMap[str, str]
    retry_after: _duration_pb2.Duration
    publish: _containers.RepeatedCompositeFieldContainer[Publication]
    def __init__(self, id: _Optional[str] = ..., outcome: _Optional[_Union[_packet_pb2.Outcome, str]] = ..., reason: _Optional[_Union[_packet_pb2.Reason, str]] = ..., message: _Optional[str] = ..., code: _Optional[str] = ..., data: _Optional[_Iterable[bytes]] = ..., text: _Optional[_Iterable[str]] = ..., records: _Optional[_Iterable[_Union[_records_pb2.Record, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ..., retry_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., publish: _Optional[_Iterable[_Union[Publication, _Mapping]]] = ...) -> None: ...

class Publication(_message.Message):
    __slots__ = ("topic", "data", "text", "headers")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    topic: str
    data: bytes
    text: str
    headers: _containers.ScalarMap[str, str]
    def __init__(self, topic: _Optional[str] = ..., data: _Optional[bytes] = ..., text: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ...) -> None: ...
