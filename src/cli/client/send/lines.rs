//! Lines: read, and made into packets.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use clap::ValueEnum as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_client::proto::Packet;
use tokio::sync::mpsc;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Send;
use crate::cli::action::ActionName;

/// Read ahead in one piece at most: what is parsed while a request is under way.
const CHUNK: usize = 2_000;
const CHUNK_BYTES: usize = 1 << 20;
/// Longer than any packet can be, written out in base64.
const LONGEST: u64 = 4 << 20;
const BUFFER: usize = 256 << 10;

/// Where a line ends, and what was read up to there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mark {
    /// This one included.
    pub(super) lines: u64,
    /// Its end included, where it has one.
    pub(super) bytes: u64,
    /// Of all lines so far: another input has another one.
    pub(super) hash: u64,
}

/// One line.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) end: Mark,
    pub(super) packet: Result<Packet, String>,
    /// As it was read, for who wants to know what was refused.
    pub(super) text: Vec<u8>,
}

/// What is read, and how many bytes that is, if anybody can know it.
pub(super) fn open(
    input: Option<&Path>,
) -> io::Result<(Box<dyn Read + std::marker::Send>, Option<u64>)> {
    let file = match input {
        Some(path) => File::open(path)?,
        None => stdin_file()?,
    };
    let metadata = file.metadata()?;
    let bytes = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(file), bytes))
}

/// Not std's own reader, whose buffer would come on top of ours.
#[cfg(unix)]
fn stdin_file() -> io::Result<File> {
    use std::os::fd::AsFd as _;
    Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?))
}

#[cfg(windows)]
fn stdin_file() -> io::Result<File> {
    use std::os::windows::io::AsHandle as _;
    Ok(File::from(io::stdin().as_handle().try_clone_to_owned()?))
}

/// How lines become packets.
#[derive(Debug, Clone)]
pub(super) struct Form {
    template: Packet,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    /// The line.
    Text { key_field: Option<String> },
    /// The line says everything.
    Packet,
}

impl Form {
    pub(super) fn of(send: &Send) -> Self {
        let content = match send.many.packets {
            true => Content::Packet,
            false => Content::Text {
                key_field: send.many.key_field.clone(),
            },
        };
        Self {
            template: send.template(),
            content,
        }
    }

    fn packet(&self, line: &[u8]) -> Result<Packet, String> {
        let text = std::str::from_utf8(line).map_err(|error| format!("not UTF-8: {error}"))?;
        match &self.content {
            Content::Text { key_field } => {
                let packet = self.template.clone().text(text);
                match key_field {
                    None => Ok(packet),
                    Some(field) => Ok(packet.key(key_of(text, field)?)),
                }
            }
            Content::Packet => written(text, &self.template),
        }
    }
}

/// Of a JSON object, the field that is to be the key.
fn key_of(text: &str, field: &str) -> Result<String, String> {
    let object: HashMap<String, Value> =
        serde_json::from_str(text).map_err(|error| format!("not a JSON object: {error}"))?;
    match object.get(field) {
        Some(Value::String(key)) if !key.is_empty() => Ok(key.clone()),
        Some(Value::Number(key)) => Ok(key.to_string()),
        Some(_) => Err(format!(
            "its {field:?} is no key: a string that is not empty, or a number, would be right"
        )),
        None => Err(format!("it has no {field:?}")),
    }
}

/// A packet as a line has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with what is a packet's")]
struct Written {
    handler: Option<String>,
    action: Option<String>,
    #[serde(default)]
    key: String,
    #[serde(default)]
    method: String,
    text: Option<Items<String>>,
    data: Option<Items<String>>,
    json: Option<Value>,
    if_version: Option<u64>,
    #[serde(default)]
    headers: HashMap<String, String>,
    ttl: Option<String>,
    #[serde(default)]
    req_id: String,
    #[serde(default)]
    unordered: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Items<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> Items<T> {
    fn all(self) -> Vec<T> {
        match self {
            Self::One(item) => vec![item],
            Self::Many(items) => items,
        }
    }
}

fn written(text: &str, template: &Packet) -> Result<Packet, String> {
    let written: Written =
        serde_json::from_str(text).map_err(|error| format!("not a packet: {error}"))?;
    let content = [
        written.text.is_some(),
        written.data.is_some(),
        written.json.is_some(),
    ];
    if content.iter().filter(|there| **there).count() > 1 {
        return Err("it has more than one of text, data and json".into());
    }
    let mut packet = template.clone();
    if let Some(handler) = written.handler {
        packet.handler = handler;
    }
    if let Some(action) = written.action {
        packet.action = ActionName::from_str(&action, true)
            .map_err(|_| format!("its action is {action:?}: create, read, update, delete, put, list or call would be right"))?
            .number();
    }
    if packet.handler.is_empty() || packet.action == 0 {
        return Err("it has no handler or no action, and none was typed".into());
    }
    packet.key = written.key;
    packet.method = written.method;
    packet.text = written.text.map_or_else(Vec::new, Items::all);
    packet
        .text
        .extend(written.json.map(|json| json.to_string()));
    for data in written.data.map_or_else(Vec::new, Items::all) {
        let bytes = BASE64_STANDARD
            .decode(&data)
            .map_err(|error| format!("its data is not base64: {error}"))?;
        packet.data.push(bytes.into());
    }
    packet.if_version = written.if_version;
    packet.headers.extend(written.headers);
    if let Some(ttl) = written.ttl {
        let ttl: Duration = humantime::parse_duration(&ttl)
            .map_err(|error| format!("its ttl is {ttl:?}: {error}"))?;
        packet.ttl = ttl.try_into().ok();
    }
    packet.req_id = written.req_id;
    packet.unordered = written.unordered;
    Ok(packet)
}

/// Reads lines, in pieces: what is there goes on at once, however little it is.
pub(super) struct Lines {
    reader: BufReader<Box<dyn Read + std::marker::Send>>,
    form: Form,
    at: Mark,
}

/// Why reading ended before the input did.
#[derive(Debug)]
pub(super) struct Unread(pub(super) String);

impl Lines {
    pub(super) fn new(input: Box<dyn Read + std::marker::Send>, form: Form) -> Self {
        Self {
            reader: BufReader::with_capacity(BUFFER, input),
            form,
            at: Mark::default(),
        }
    }

    /// Past what was done before; it must be the same.
    pub(super) fn skip_to(&mut self, mark: Mark) -> Result<(), String> {
        let mut line = Vec::new();
        while self.at.lines < mark.lines {
            match self.line(&mut line) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        match (self.at.lines, self.at.hash) == (mark.lines, mark.hash) {
            true => Ok(()),
            false => Err(format!(
                "the input is not the one whose position is kept: something in its first {} lines is another",
                mark.lines
            )),
        }
    }

    /// Until the end, or until nobody wants them any more. Blocks.
    pub(super) fn read(mut self, into: &mpsc::Sender<Result<Vec<Line>, Unread>>) {
        loop {
            let (chunk, more) = match self.chunk() {
                Ok(read) => read,
                Err(error) => {
                    let _ = into.blocking_send(Err(Unread(error.to_string())));
                    return;
                }
            };
            if !chunk.is_empty() && into.blocking_send(Ok(chunk)).is_err() || !more {
                return;
            }
        }
    }

    fn chunk(&mut self) -> io::Result<(Vec<Line>, bool)> {
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        let mut text = Vec::new();
        loop {
            if !self.line(&mut text)? {
                return Ok((chunk, false));
            }
            if !text.trim_ascii().is_empty() {
                bytes += text.len();
                chunk.push(Line {
                    end: self.at,
                    packet: self.form.packet(&text),
                    text: std::mem::take(&mut text),
                });
            }
            let whole = chunk.len() >= CHUNK || bytes >= CHUNK_BYTES;
            if whole || !chunk.is_empty() && !self.reader.buffer().contains(&b'\n') {
                return Ok((chunk, true));
            }
        }
    }

    /// The next one, without its end. False: there is none.
    fn line(&mut self, into: &mut Vec<u8>) -> io::Result<bool> {
        into.clear();
        let read = (&mut self.reader).take(LONGEST).read_until(b'\n', into)?;
        if read == 0 {
            return Ok(false);
        }
        if read as u64 == LONGEST && into.last() != Some(&b'\n') {
            let line = self.at.lines + 1;
            return Err(io::Error::other(format!(
                "line {line} is longer than {LONGEST} bytes"
            )));
        }
        self.at.lines += 1;
        self.at.bytes += read as u64;
        if into.last() == Some(&b'\n') {
            into.pop();
        }
        if into.last() == Some(&b'\r') {
            into.pop();
        }
        self.at.hash = xxh3_64_with_seed(into, self.at.hash);
        Ok(true)
    }
}
