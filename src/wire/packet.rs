//! A packet from its bytes, with every rule that needs nothing but the packet and its call. What is wrong with it becomes its
//! answer, given in its turn; its neighbours do not feel it.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use prost::Message as _;

use super::check::{self, WireDuration};
use super::fingerprint::{Counted, fingerprint};
use super::proto;
use super::reader::{Fields, Malformed, Span, Value};
use crate::types::{
    Action, Answer, Carried, Content, Form, More, Packet, PacketFile, Reason, Source, TRACEPARENT,
    beginning, limits,
};

/// What a refusal says at most.
const MESSAGE_BYTES: usize = 512;

/// For who wrote none of them, or one that is not known.
const ACTIONS: &str = "ACTION_CREATE, ACTION_READ, ACTION_UPDATE, ACTION_DELETE, ACTION_PUT, ACTION_LIST and ACTION_CALL";

/// What a packet is read in.
#[derive(Debug)]
pub(crate) struct Context {
    /// Whether the call has a client_id, without which no packet has a place.
    pub(crate) has_client: bool,
    /// Of the packet in its request, for messages.
    pub(crate) index: usize,
    /// Reused from packet to packet.
    pub(crate) scratch: Vec<u8>,
}

/// A packet, and the `seq` that it claimed where the contract gives it none.
pub(crate) struct Read {
    pub(crate) packet: Packet,
    pub(crate) misplaced: Option<u64>,
    /// Of headers, and their bytes, as they came: a map may repeat a name, and the limits count all of it.
    headers: usize,
    header_bytes: usize,
}

/// What was read so far.
#[derive(Default)]
struct Draft {
    req_id: ByteString,
    handler: ByteString,
    action: i32,
    data: Content,
    text: Content,
    key: ByteString,
    if_version: Option<u64>,
    ttl: Option<WireDuration>,
    seq: u64,
    unordered: bool,
    more: Option<Box<More>>,
    header_bytes: usize,
    /// Entries as they came: a map may repeat a name.
    headers: usize,
    files: usize,
    items: usize,
    /// The first thing found wrong.
    wrong: Option<String>,
    /// It was found right before: nothing is wrong with it.
    taken: bool,
}

pub(crate) fn read(bytes: Span<'_>, context: &mut Context) -> Read {
    Draft::default().read(bytes, context)
}

/// What was taken stays taken, with all that it has, even where a later version of the gateway would refuse it.
pub(crate) fn read_taken(bytes: Span<'_>, context: &mut Context) -> Packet {
    let draft = Draft {
        taken: true,
        ..Draft::default()
    };
    draft.read(bytes, context).packet
}

/// What the packets of a call are to carry: its trace.
pub(crate) fn carried(trace: String) -> Arc<Carried> {
    let entry = proto::Packet {
        headers: [(TRACEPARENT.to_owned(), trace.clone())].into(),
        ..proto::Packet::default()
    };
    Arc::new(Carried {
        header: (ByteString::from_static(TRACEPARENT), trace.into()),
        field: entry.encode_to_vec().into(),
    })
}

/// Has a packet carry the trace of its call, unless it has one of its own, or no room for it: as a header of its own from here
/// on, also in what is kept of it once it is taken. What is kept is read by the same rules when it comes back.
pub(crate) fn carry(read: &mut Read, trace: &Arc<Carried>) {
    let (name, value) = &trace.header;
    let packet = &mut read.packet;
    let size = packet.size + trace.field.len();
    let fits = read.headers < limits::PACKET_HEADERS
        && read.header_bytes + name.len() + value.len() <= limits::PACKET_HEADER_BYTES
        && size <= limits::PACKET_BYTES;
    if packet.refusal.is_none() && packet.traceparent().is_none() && fits {
        packet.size = size;
        packet.carried = Some(trace.clone());
    }
}

impl Draft {
    fn read(mut self, bytes: Span<'_>, context: &mut Context) -> Read {
        if let Err(error) = self.fields(bytes) {
            self.refuse(format!("cannot be read: {error}"));
        }
        if bytes.len() > limits::PACKET_BYTES {
            self.refuse(format!(
                "has {} bytes: at most {} are taken; send it as several smaller ones",
                bytes.len(),
                limits::PACKET_BYTES
            ));
        }
        self.finish(bytes, context)
    }

    fn fields(&mut self, bytes: Span<'_>) -> Result<(), Malformed> {
        let mut fields = Fields::of(bytes);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => self.req_id = self.string("req_id", value)?,
                2 => self.handler = self.string("handler", value)?,
                3 => self.action = value.varint()? as i32,
                4 => self.data_item(value)?,
                5 => self.key = self.string("key", value)?,
                6 => self.header(value.span()?)?,
                7 => self.text_item(value)?,
                8 => {
                    let method = self.string("method", value)?;
                    self.more().method = method;
                }
                9 => self.if_version = Some(value.varint()?),
                10 => self.more().page_size = value.varint()? as u32,
                11 => {
                    let token = self.string("page_token", value)?;
                    self.more().page_token = token;
                }
                12 => self.ttl.get_or_insert_default().merge(value.span()?)?,
                13 => self.file(value.span()?)?,
                14 => self.seq = value.varint()?,
                15 => self.unordered = value.varint()? != 0,
                _ => {}
            }
        }
        Ok(())
    }

    fn finish(mut self, bytes: Span<'_>, context: &mut Context) -> Read {
        let misplaced = self.misplaced(context);
        let ttl = self.ttl.map(WireDuration::checked);
        let (action, ttl) = (action(self.action), ttl.transpose());
        self.judge(action);
        let ttl = ttl.unwrap_or_else(|error| {
            self.refuse(format!("ttl {error}"));
            None
        });
        if let Some(more) = &mut self.more {
            more.files.sort_by(|(a, _), (b, _)| a.cmp(b));
        }
        let mut content = if self.text.is_empty() {
            self.data
        } else {
            self.text
        };
        let more = self.more.as_deref();
        let fingerprint = fingerprint(
            &Counted {
                req_id: &self.req_id,
                handler: &self.handler,
                action: self.action,
                method: more.map_or("", |more| &more.method),
                key: &self.key,
                content: &content,
                if_version: self.if_version,
                files: more.map_or(&[], |more| &more.files),
            },
            &mut context.scratch,
        );
        let refusal = self.wrong.map(|wrong| {
            // What is refused is not kept: only what its answer and its place need.
            content = Content::default();
            self.more = None;
            let message = format!("packets[{}] {wrong}", context.index);
            Box::new(Answer::rejected(Reason::InvalidPacket, message))
        });
        let packet = Packet {
            req_id: self.req_id,
            handler: self.handler,
            seq: if misplaced.is_some() { 0 } else { self.seq },
            // What has no action that we know is refused in its turn, as something that has a place.
            action: action.unwrap_or(Action::Call),
            key: self.key,
            content,
            if_version: self.if_version,
            ttl,
            unordered: self.unordered,
            more: self.more,
            fingerprint,
            size: bytes.len(),
            raw: bytes.to_bytes(),
            carried: None,
            refusal,
        };
        Read {
            packet,
            misplaced,
            headers: self.headers,
            header_bytes: self.header_bytes,
        }
    }

    /// The rules of DESIGN §1.1 for who has a place.
    fn misplaced(&mut self, context: &Context) -> Option<u64> {
        if self.seq == 0 {
            return None;
        }
        let why = match action(self.action) {
            _ if !context.has_client => {
                "the call has no client_id: give it one, or leave seq out".into()
            }
            Some(action) if action.is_read() => {
                format!("{} has no place: leave seq out", action.name())
            }
            _ if self.unordered => "an unordered packet has no place: leave one of them out".into(),
            _ => return None,
        };
        self.refuse(format!("has seq {}, but {why}", self.seq));
        Some(self.seq)
    }

    fn judge(&mut self, action: Option<Action>) {
        if let Err(error) = check::id(&self.req_id) {
            self.refuse(format!("req_id {error}"));
        }
        if self.key.len() > limits::KEY_BYTES {
            let length = self.key.len();
            self.refuse(format!(
                "key has {length} bytes: at most {} are taken",
                limits::KEY_BYTES
            ));
        }
        self.judge_action(action);
        self.judge_content();
        if self.more.is_some() {
            self.judge_more();
        }
    }

    fn judge_action(&mut self, action: Option<Action>) {
        let method = self.more.as_ref().map_or("", |more| &*more.method);
        let chars = method.chars().count();
        match (action, chars) {
            (None, _) if self.action == 0 => self.refuse(format!("has no action: {ACTIONS} are")),
            (None, _) => self.refuse(format!(
                "action {} is not known here: {ACTIONS} are",
                self.action
            )),
            (Some(Action::Call), 0) => self.refuse("is a CALL without method: name one"),
            (Some(Action::Call), chars) if chars > limits::METHOD_CHARS => self.refuse(format!(
                "method has {chars} characters: at most {} are taken",
                limits::METHOD_CHARS
            )),
            (Some(Action::Call), _) | (Some(_), 0) => {}
            (Some(action), _) => self.refuse(format!(
                "has a method, which only CALL has: this is {}",
                action.name()
            )),
        }
    }

    fn judge_content(&mut self) {
        if !self.data.is_empty() && !self.text.is_empty() {
            self.refuse("has both data and text: its content is one or the other");
        }
        if self.items > limits::PACKET_ITEMS {
            self.refuse(format!(
                "has {} items: at most {} are taken",
                self.items,
                limits::PACKET_ITEMS
            ));
        }
    }

    fn judge_more(&mut self) {
        if self.headers > limits::PACKET_HEADERS {
            self.refuse(format!(
                "has {} headers: at most {} are taken",
                self.headers,
                limits::PACKET_HEADERS
            ));
        }
        if self.header_bytes > limits::PACKET_HEADER_BYTES {
            self.refuse(format!(
                "has headers of {} bytes: at most {} together are taken",
                self.header_bytes,
                limits::PACKET_HEADER_BYTES
            ));
        }
        if self.files > limits::PACKET_FILES {
            self.refuse(format!(
                "has {} files: at most {} are taken",
                self.files,
                limits::PACKET_FILES
            ));
        }
        let more = self.more.take().unwrap_or_default();
        if more.page_size > limits::PAGE_SIZE_MAX {
            self.refuse(format!(
                "page_size is {}: 1 to {} are taken, and 0 is {}",
                more.page_size,
                limits::PAGE_SIZE_MAX,
                limits::PAGE_SIZE
            ));
        }
        for (field, file) in &more.files {
            if let Some(wrong) = wrong_with(file) {
                self.refuse(format!("files[{field:?}] {wrong}"));
            }
        }
        self.more = Some(more);
    }

    fn data_item(&mut self, value: Value<'_>) -> Result<(), Malformed> {
        let item = value.bytes()?;
        self.items += 1;
        push(&mut self.data, Form::Bytes, item, self.items);
        Ok(())
    }

    fn text_item(&mut self, value: Value<'_>) -> Result<(), Malformed> {
        let place = self.text.items.len();
        let item = value.bytes()?;
        self.items += 1;
        if std::str::from_utf8(&item).is_err() {
            self.refuse(format!(
                "text[{place}] is not UTF-8: what is not text goes into data"
            ));
        }
        push(&mut self.text, Form::Text, item, self.items);
        Ok(())
    }

    fn header(&mut self, entry: Span<'_>) -> Result<(), Malformed> {
        let (mut name, mut text) = (ByteString::new(), ByteString::new());
        let mut fields = Fields::of(entry);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => name = self.string("headers", value)?,
                2 => text = self.string("headers", value)?,
                _ => {}
            }
        }
        self.headers += 1;
        self.header_bytes += name.len() + text.len();
        if self.headers <= limits::PACKET_HEADERS {
            put(&mut self.more().headers, name, text);
        }
        Ok(())
    }

    fn file(&mut self, entry: Span<'_>) -> Result<(), Malformed> {
        let mut field = ByteString::new();
        let mut file = PacketFile {
            name: ByteString::new(),
            content_type: ByteString::new(),
            size: 0,
            sha256: Bytes::new(),
            source: None,
        };
        let mut fields = Fields::of(entry);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => field = self.string("files", value)?,
                2 => self.file_fields(&mut file, value.span()?)?,
                _ => {}
            }
        }
        self.files += 1;
        if self.files <= limits::PACKET_FILES {
            put(&mut self.more().files, field, file);
        }
        Ok(())
    }

    fn file_fields(&mut self, file: &mut PacketFile, message: Span<'_>) -> Result<(), Malformed> {
        let mut fields = Fields::of(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => file.name = self.string("files", value)?,
                2 => file.content_type = self.string("files", value)?,
                3 => file.size = value.varint()?,
                4 => file.sha256 = value.bytes()?,
                5 => file.source = Some(Source::Content(value.bytes()?)),
                6 => file.source = Some(Source::Upload(self.string("files", value)?)),
                _ => {}
            }
        }
        Ok(())
    }

    /// A string that is not UTF-8 is wrong, but the fields behind it can be read: `seq` above all.
    fn string(&mut self, field: &str, value: Value<'_>) -> Result<ByteString, Malformed> {
        match value.string() {
            Err(Malformed::Utf8) => {
                self.refuse(format!("{field} is not UTF-8"));
                Ok(ByteString::new())
            }
            other => other,
        }
    }

    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    /// The text may quote what the packet brought, which may be long.
    fn refuse(&mut self, wrong: impl Into<String>) {
        if self.taken {
            return;
        }
        self.wrong.get_or_insert_with(|| {
            let mut wrong = wrong.into();
            wrong.truncate(beginning(&wrong, MESSAGE_BYTES).len());
            wrong
        });
    }
}

pub(crate) fn action(number: i32) -> Option<Action> {
    match proto::Action::try_from(number).ok()? {
        proto::Action::Unspecified => None,
        proto::Action::Create => Some(Action::Create),
        proto::Action::Read => Some(Action::Read),
        proto::Action::Update => Some(Action::Update),
        proto::Action::Delete => Some(Action::Delete),
        proto::Action::Put => Some(Action::Put),
        proto::Action::List => Some(Action::List),
        proto::Action::Call => Some(Action::Call),
    }
}

/// What is over the limit is counted and not kept: a packet of a million empty items costs no more than its bytes.
fn push(content: &mut Content, form: Form, item: Bytes, count: usize) {
    content.form = form;
    if count <= limits::PACKET_ITEMS {
        content.items.push(item);
    }
}

/// In a map the last entry of a name holds.
fn put<T>(entries: &mut Vec<(ByteString, T)>, name: ByteString, value: T) {
    match entries.iter_mut().find(|(present, _)| *present == name) {
        Some((_, present)) => *present = value,
        None => entries.push((name, value)),
    }
}

fn wrong_with(file: &PacketFile) -> Option<String> {
    if !matches!(file.sha256.len(), 0 | 32) {
        let length = file.sha256.len();
        return Some(format!("has a sha256 of {length} bytes: 32, or none"));
    }
    match &file.source {
        None => Some("has no source: give it content".into()),
        Some(Source::Upload(id)) => Some(format!("names the upload {id:?}, which is not there")),
        Some(Source::Content(content)) if ![0, content.len() as u64].contains(&file.size) => Some(
            format!("says {} bytes and has {}", file.size, content.len()),
        ),
        Some(Source::Content(_)) => None,
    }
}
