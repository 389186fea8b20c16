//! As much of NATS's protocol as atomic batches need, which its own client does not have yet. The least that a client can cost:
//! what is measured is the server.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection, with one inbox: every answer counts for the oldest question that has none.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// What was read and not looked at yet.
    unread: Vec<u8>,
    inbox: String,
}

/// What the server sent.
#[derive(Debug, PartialEq, Eq)]
enum Frame {
    Ping,
    /// The content of an answer.
    Answer(Vec<u8>),
    Refused(String),
    /// Of no interest here.
    Other,
}

impl Connection {
    pub(super) async fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let inbox = format!("_INBOX.{:016x}", rand::random::<u64>());
        let mut connection = Self {
            stream,
            unread: Vec::new(),
            inbox,
        };
        let options = r#"{"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"lang":"rust","version":"0"}"#;
        let hello = format!("CONNECT {options}\r\nSUB {} 1\r\n", connection.inbox);
        connection.send(hello.as_bytes()).await?;
        Ok(connection)
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// One question, one answer.
    pub(super) async fn ask(&mut self, subject: &str, content: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.publish(&mut bytes, subject, "", content.as_bytes(), Answered::Yes);
        self.send(&bytes).await?;
        loop {
            if let Some(answer) = self.answers().await?.pop() {
                return Ok(answer);
            }
        }
    }

    /// Puts a message behind what is to be sent. `headers` are whole lines.
    pub(super) fn publish(
        &self,
        out: &mut Vec<u8>,
        subject: &str,
        headers: &str,
        content: &[u8],
        answered: Answered,
    ) {
        let inbox = match answered {
            Answered::Yes => format!(" {}", self.inbox),
            Answered::No => String::new(),
        };
        if headers.is_empty() {
            let head = format!("PUB {subject}{inbox} {}\r\n", content.len());
            out.extend_from_slice(head.as_bytes());
        } else {
            let headers = format!("NATS/1.0\r\n{headers}\r\n");
            let (before, all) = (headers.len(), headers.len() + content.len());
            let head = format!("HPUB {subject}{inbox} {before} {all}\r\n{headers}");
            out.extend_from_slice(head.as_bytes());
        }
        out.extend_from_slice(content);
        out.extend_from_slice(b"\r\n");
    }

    /// Reads once: the answers in it, of which there may be none.
    pub(super) async fn answers(&mut self) -> io::Result<Vec<Vec<u8>>> {
        if self.stream.read_buf(&mut self.unread).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (mut answers, mut read) = (Vec::new(), 0);
        while let Some((frame, length)) = frame(&self.unread[read..])? {
            read += length;
            match frame {
                Frame::Ping => self.stream.write_all(b"PONG\r\n").await?,
                Frame::Answer(answer) => answers.push(answer),
                Frame::Refused(why) => return Err(io::Error::other(why)),
                Frame::Other => {}
            }
        }
        self.unread.drain(..read);
        Ok(answers)
    }
}

/// Whether the server is to answer a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    Yes,
    No,
}

/// The first frame, and how long it is. `None`: not all of it is there.
fn frame(bytes: &[u8]) -> io::Result<Option<(Frame, usize)>> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        return Ok(None);
    };
    let line = std::str::from_utf8(&bytes[..end]).map_err(io::Error::other)?;
    let start = end + 2;
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let frame = match word {
        "PING" => Frame::Ping,
        "-ERR" => Frame::Refused(rest.to_owned()),
        "MSG" | "HMSG" => {
            let mut numbers = rest.rsplit(' ').map(str::parse::<usize>);
            let (Some(Ok(all)), before) = (numbers.next(), numbers.next()) else {
                return Err(io::Error::other(line.to_owned()));
            };
            let headers = match (word, before) {
                ("HMSG", Some(Ok(before))) => before,
                _ => 0,
            };
            let Some(content) = bytes.get(start..start + all + 2) else {
                return Ok(None);
            };
            // Without headers' content: nobody was there to answer.
            let answer = match &content[headers..all] {
                [] => content[..all].to_vec(),
                answer => answer.to_vec(),
            };
            return Ok(Some((Frame::Answer(answer), start + all + 2)));
        }
        _ => Frame::Other,
    };
    Ok(Some((frame, start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_cut_out_of_what_was_read() {
        let answer = |content: &[u8]| Frame::Answer(content.to_vec());
        type Case = (&'static [u8], Option<(Frame, usize)>);
        let cases: [Case; 8] = [
            (b"PI", None),
            (b"PING\r\nMSG", Some((Frame::Ping, 6))),
            (b"INFO {}\r\n", Some((Frame::Other, 9))),
            (b"MSG a 1 2\r\n{", None),
            (b"MSG a 1 2\r\n{}\r\n", Some((answer(b"{}"), 15))),
            (b"MSG a 1 b 2\r\n{}\r\n", Some((answer(b"{}"), 17))),
            (b"HMSG a 1 4 6\r\nH\r\n\n{}\r\n", Some((answer(b"{}"), 22))),
            (
                b"-ERR 'no'\r\n",
                Some((Frame::Refused("'no'".to_owned()), 11)),
            ),
        ];
        for (bytes, expected) in cases {
            assert_eq!(frame(bytes).unwrap(), expected);
        }
        assert!(frame(b"MSG a 1 x\r\n").is_err());
    }
}
