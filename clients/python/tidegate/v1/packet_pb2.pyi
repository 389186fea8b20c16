import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from tidegate.v1 import message_pb2 as _message_pb2
from tidegate.v1 import records_pb2 as _records_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACTION_UNSPECIFIED: _ClassVar[Action]
    ACTION_CREATE: _ClassVar[Action]
    ACTION_READ: _ClassVar[Action]
    ACTION_UPDATE: _ClassVar[Action]
    ACTION_DELETE: _ClassVar[Action]
    ACTION_PUT: _ClassVar[Action]
    ACTION_LIST: _ClassVar[Action]
    ACTION_CALL: _ClassVar[Action]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_OK: _ClassVar[Outcome]
    OUTCOME_ACCEPTED: _ClassVar[Outcome]
    OUTCOME_REJECTED: _ClassVar[Outcome]
    OUTCOME_RETRY: _ClassVar[Outcome]
    OUTCOME_EXPIRED: _ClassVar[Outcome]
    OUTCOME_IN_DOUBT: _ClassVar[Outcome]
    OUTCOME_FORGOTTEN: _ClassVar[Outcome]

class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REASON_UNSPECIFIED: _ClassVar[Reason]
    REASON_INVALID_PACKET: _ClassVar[Reason]
    REASON_INVALID_DATA: _ClassVar[Reason]
    REASON_UNKNOWN_HANDLER: _ClassVar[Reason]
    REASON_UNSUPPORTED_ACTION: _ClassVar[Reason]
    REASON_TOO_LARGE: _ClassVar[Reason]
    REASON_FORBIDDEN: _ClassVar[Reason]
    REASON_NOT_FOUND: _ClassVar[Reason]
    REASON_ALREADY_EXISTS: _ClassVar[Reason]
    REASON_VERSION_MISMATCH: _ClassVar[Reason]
    REASON_REQ_ID_REUSED: _ClassVar[Reason]
    REASON_OVERLOADED: _ClassVar[Reason]
    REASON_RATE_LIMITED: _ClassVar[Reason]
    REASON_STORE_UNAVAILABLE: _ClassVar[Reason]
    REASON_HANDLER_FAILED: _ClassVar[Reason]
    REASON_HANDLER_UNAVAILABLE: _ClassVar[Reason]
    REASON_HANDLER_TIMEOUT: _ClassVar[Reason]
    REASON_EARLIER_REFUSED: _ClassVar[Reason]
    REASON_EARLIER_MISSING: _ClassVar[Reason]
    REASON_CLEARED: _ClassVar[Reason]
    REASON_DRAINING: _ClassVar[Reason]
    REASON_MOVED: _ClassVar[Reason]
    REASON_RESPONSE_TOO_LARGE: _ClassVar[Reason]
    REASON_APPLICATION: _ClassVar[Reason]
ACTION_UNSPECIFIED: Action
ACTION_CREATE: Action
ACTION_READ: Action
ACTION_UPDATE: Action
ACTION_DELETE: Action
ACTION_PUT: Action
ACTION_LIST: Action
ACTION_CALL: Action
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_OK: Outcome
OUTCOME_ACCEPTED: Outcome
OUTCOME_REJECTED: Outcome
OUTCOME_RETRY: Outcome
OUTCOME_EXPIRED: Outcome
OUTCOME_IN_DOUBT: Outcome
OUTCOME_FORGOTTEN: Outcome
REASON_UNSPECIFIED: Reason
REASON_INVALID_PACKET: Reason
REASON_INVALID_DATA: Reason
REASON_UNKNOWN_HANDLER: Reason
REASON_UNSUPPORTED_ACTION: Reason
REASON_TOO_LARGE: Reason
REASON_FORBIDDEN: Reason
REASON_NOT_FOUND: Reason
REASON_ALREADY_EXISTS: Reason
REASON_VERSION_MISMATCH: Reason
REASON_REQ_ID_REUSED: Reason
REASON_OVERLOADED: Reason
REASON_RATE_LIMITED: Reason
REASON_STORE_UNAVAILABLE: Reason
REASON_HANDLER_FAILED: Reason
REASON_HANDLER_UNAVAILABLE: Reason
REASON_HANDLER_TIMEOUT: Reason
REASON_EARLIER_REFUSED: Reason
REASON_EARLIER_MISSING: Reason
REASON_CLEARED: Reason
REASON_DRAINING: Reason
REASON_MOVED: Reason
REASON_RESPONSE_TOO_LARGE: Reason
REASON_APPLICATION: Reason

class Packet(_message.Message):
    __slots__ = ("req_id", "handler", "action", "data", "key", "headers", "text", "method", "if_version", "page_size", "page_token", "ttl", "files", "seq", "unordered")
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
        value: File
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[File, _Mapping]] = ...) -> None: ...
    REQ_ID_FIELD_NUMBER: _ClassVar[int]
    HANDLER_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    IF_VERSION_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    UNORDERED_FIELD_NUMBER: _ClassVar[int]
    req_id: str
    handler: str
    action: Action
    data: _containers.RepeatedScalarFieldContainer[bytes]
    key: str
    headers: _containers.ScalarMap[str, str]
    text: _containers.RepeatedScalarFieldContainer[str]
    method: str
    if_version: int
    page_size: int
    page_token: str
    ttl: _duration_pb2.Duration
    files: _containers.MessageMap[str, File]
    seq: int
    unordered: bool
    def __init__(self, req_id: _Optional[str] = ..., handler: _Optional[str] = ..., action: _Optional[_Union[Action, str]] = ..., data: _Optional[_Iterable[bytes]] = ..., key: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ..., text: _Optional[_Iterable[str]] = ..., method: _Optional[str] = ..., if_version: _Optional[int] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., files: _Optional[_Mapping[str, File]] = ..., seq: _Optional[int] = ..., unordered: bool = ...) -> None: ...

class File(_message.Message):
    __slots__ = ("name", "content_type", "size", "sha256", "content", "upload_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    content_type: str
    size: int
    sha256: bytes
    content: bytes
    upload_id: str
    def __init__(self, name: _Optional[str] = ..., content_type: _Optional[str] = ..., size: _Optional[int] = ..., sha256: _Optional[bytes] = ..., content: _Optional[bytes] = ..., upload_id: _Optional[str] = ...) -> None: ...

class PacketResult(_message.Message):
    __slots__ = ("req_id", "outcome", "reason", "message", "data", "retry_after", "replayed", "text", "records", "messages", "next_page_token", "code", "headers", "handler", "seq", "next_seq")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REQ_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    HANDLER_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQ_FIELD_NUMBER: _ClassVar[int]
    req_id: str
    outcome: Outcome
    reason: Reason
    message: str
    data: _containers.RepeatedScalarFieldContainer[bytes]
    retry_after: _duration_pb2.Duration
    replayed: bool
    text: _containers.RepeatedScalarFieldContainer[str]
    records: _containers.RepeatedCompositeFieldContainer[_records_pb2.Record]
    messages: _containers.RepeatedCompositeFieldContainer[_message_pb2.Message]
    next_page_token: str
    code: str
    headers: _containers.ScalarMap[str, str]
    handler: str
    seq: int
    next_seq: int
    def __init__(self, req_id: _Optional[str] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., reason: _Optional[_Union[Reason, str]] = ..., message: _Optional[str] = ..., data: _Optional[_Iterable[bytes]] = ..., retry_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., replayed: bool = ..., text: _Optional[_Iterable[str]] = ..., records: _Optional[_Iterable[_Union[_records_pb2.Record, _Mapping]]] = ..., messages: _Optional[_Iterable[_Union[_message_pb2.Message, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., code: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ..., handler: _Optional[str] = ..., seq: _Optional[int] = ..., next_seq: _Optional[int] = ...) -> None: ...
