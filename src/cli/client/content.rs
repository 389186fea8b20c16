//! Content: from what was typed or piped, and for people and programs.

use std::io::{self, IsTerminal as _, Read as _};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use tidegate_client::proto::Packet;

use super::Error;
use crate::cli::text::shown;

/// What stands before bytes, so that nobody takes them for text.
const MARK: &str = "base64:";

// What a packet carries. No doc comment, which would be told as what the command does.
#[derive(Debug, clap::Args)]
pub(super) struct Content {
    /// Content, as text; several are several items, where the handler takes more than one
    #[arg(value_name = "TEXT")]
    text: Vec<String>,
    /// Content as bytes, in base64; may be given several times
    #[arg(long, value_name = "BASE64", value_parser = bytes, conflicts_with = "text")]
    data: Vec<Bytes>,
}

fn bytes(text: &str) -> Result<Bytes, base64::DecodeError> {
    BASE64_STANDARD.decode(text).map(Bytes::from)
}

impl Content {
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.data.is_empty()
    }

    pub(super) fn put_into(&self, packet: &mut Packet) {
        packet.text.clone_from(&self.text);
        packet.data.clone_from(&self.data);
    }

    /// What was typed, else all of standard input as one item: text where it is UTF-8.
    pub(super) fn put_or_piped(&self, packet: &mut Packet) -> Result<(), Error> {
        if !self.is_empty() {
            self.put_into(packet);
            return Ok(());
        }
        let mut stdin = io::stdin().lock();
        if stdin.is_terminal() {
            return Err(Error::Usage(
                "there is no content: write it behind, or pipe it in".into(),
            ));
        }
        let mut piped = Vec::new();
        stdin
            .read_to_end(&mut piped)
            .map_err(|error| Error::Input(format!("standard input cannot be read: {error}")))?;
        match String::from_utf8(piped) {
            // The end of its only line is the shell's.
            Ok(mut text) => {
                if text.ends_with('\n') && !text[..text.len() - 1].contains('\n') {
                    text.pop();
                }
                packet.text.push(text);
            }
            Err(error) => packet.data.push(error.into_bytes().into()),
        }
        Ok(())
    }
}

/// For people: text as it is, bytes as base64 with a mark.
pub(super) fn told(text: &str, data: &[u8]) -> String {
    match data {
        [] => shown(text),
        data => format!("{MARK}{}", BASE64_STANDARD.encode(data)),
    }
}

pub(super) fn base64(data: &[u8]) -> String {
    BASE64_STANDARD.encode(data)
}

/// On one line, and no longer than so many characters.
pub(super) fn short(text: &str, most: usize) -> String {
    let mut line: String = shown(text.lines().next().unwrap_or_default());
    let cut = text.lines().nth(1).is_some() || line.chars().count() > most;
    if cut {
        line = line.chars().take(most.saturating_sub(1)).collect();
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_not_taken_for_text() {
        assert_eq!(told("buy milk", b""), "buy milk");
        assert_eq!(told("", &[0, 1, 255]), "base64:AAH/");
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(short("buy milk", 8), "buy milk");
        assert_eq!(short("buy oat milk", 8), "buy oat…");
        assert_eq!(short("buy\nmilk", 8), "buy…");
    }
}
