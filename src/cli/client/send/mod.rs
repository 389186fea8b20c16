//! `tidegate send`.

mod lines;
mod position;
mod progress;
mod queue;
mod report;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum as _;
use tidegate_client::proto::Packet;

use super::content::Content;
use super::{Error, Options, Patience, run};
use crate::cli::Failure;
use crate::cli::action::ActionName;

/// Sends a packet, or with --lines or --packets as many as there are lines
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate send todos create 'buy milk'
  tidegate send todos update --key milk 'buy rice milk' --if-version 2
  tidegate send orders call --method cancel --key 1017
  tidegate send logs create --lines < today.log  # each line a packet, in order
  tidegate send people put --lines --key-field id < people.jsonl
  tidegate send --packets --input todo.jsonl --position todo.position --refused refused.jsonl

A line of --packets is an object: {\"handler\": …, \"action\": …, \"key\": …, \"text\": … or \"data\": base64 or \"json\": anything}, and if needed
method, if_version, headers, ttl, req_id and unordered; HANDLER and ACTION stand for what a line leaves out.

Lines are applied once and in order, through restarts of the gateway; with --position, through those of this command too: the same call
goes on where it was. It ends with 0 when all are OK, 1 when some were refused, 65 when some could not be read, 69 where no gateway
answers, 75 when it is not known yet what became of some, and 130 when it was stopped.")]
pub(in crate::cli) struct Send {
    /// Whose packet it is
    #[arg(required_unless_present = "packets")]
    handler: Option<String>,
    /// What it is to do
    #[arg(required_unless_present = "packets")]
    action: Option<ActionName>,
    #[command(flatten)]
    content: Content,
    /// What it is about
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// With call: which action of the handler's own
    #[arg(long, value_name = "NAME")]
    method: Option<String>,
    /// Only while it has this version; 0: only if there is none
    #[arg(long, value_name = "N")]
    if_version: Option<u64>,
    /// For the handler, as name=value; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// Not applied later than this after the gateway received it
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    ttl: Option<Duration>,
    #[command(flatten)]
    many: Many,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    options: Options,
}

// Lines.
#[derive(Debug, clap::Args)]
struct Many {
    /// Each line of the input is the content of a packet, as text
    #[arg(long, conflicts_with_all = ["text", "data", "packets"])]
    lines: bool,
    /// With --lines: each is a JSON object, whose field of this name is the key
    #[arg(long, value_name = "FIELD", requires = "lines", conflicts_with = "key")]
    key_field: Option<String>,
    /// Each line of the input is a packet, as a JSON object
    #[arg(long, conflicts_with_all = ["text", "data", "key", "method", "if_version"])]
    packets: bool,
    /// Reads this file, not standard input
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Keeps in this file how far it is, and goes on from there: one file for each input and what is made of it
    #[arg(long, value_name = "FILE")]
    position: Option<PathBuf>,
    /// Appends what was refused to this file, with the line: a JSON object on each line; after a stop some may come once more
    #[arg(long, value_name = "FILE")]
    refused: Option<PathBuf>,
    /// No progress bar
    #[arg(long)]
    quiet: bool,
}

fn header(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("name=value would be right")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Send {
    pub(in crate::cli) fn run(&self) -> Result<(), Failure> {
        let many = &self.many;
        if many.lines || many.packets {
            return run(queue::send(self));
        }
        let of_many = [&many.input, &many.position, &many.refused];
        if of_many.iter().any(|file| file.is_some()) {
            let text = "--input, --position and --refused are for --lines and --packets";
            return Err(Error::Usage(text.into()).into());
        }
        run(async {
            let mut packet = self.template();
            self.content.put_into(&mut packet);
            let result = self.options.one(&self.patience, packet).await?;
            self.options.tell(result)
        })
    }

    /// What tells one call with lines from another.
    fn described(&self) -> String {
        let form = match (&self.many.key_field, self.many.packets) {
            (_, true) => "--packets".to_owned(),
            (Some(field), _) => format!("--lines --key-field {field}"),
            (None, _) => "--lines".to_owned(),
        };
        let action = self.action.and_then(|action| action.to_possible_value());
        let action = action.map(|action| action.get_name().to_owned());
        let typed = [&self.handler, &action, &self.key, &self.method];
        let typed: Vec<_> = typed.into_iter().flatten().map(String::as_str).collect();
        format!("{} {form}", typed.join(" "))
            .trim_start()
            .to_owned()
    }

    /// What was typed of a packet, but for its content.
    fn template(&self) -> Packet {
        Packet {
            handler: self.handler.clone().unwrap_or_default(),
            action: self.action.map_or(0, ActionName::number),
            key: self.key.clone().unwrap_or_default(),
            method: self.method.clone().unwrap_or_default(),
            if_version: self.if_version,
            headers: self.header.iter().cloned().collect::<HashMap<_, _>>(),
            ttl: self.ttl.and_then(|ttl| ttl.try_into().ok()),
            ..Packet::default()
        }
    }
}
