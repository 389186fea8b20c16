//! `tidegate dead-letters`.

use std::io::{self, Write};

use clap::Subcommand;

use super::super::text::{counted, shown};
use super::{Error, Options, calling, calling_with, confirm, json, show};
use crate::cli::Failure;
use crate::wire::proto;

/// So many are listed where nobody says it.
const LIMIT: usize = 1000;

/// Packets that were taken and given up: lists them, tries them once more, or gives them up for good
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  tidegate dead-letters                     # the first thousand, the oldest first
  tidegate dead-letters list --handler orders --content --json
  tidegate dead-letters retry 17 18         # these again
  tidegate dead-letters retry --all orders  # all of a handler again
  tidegate dead-letters discard 17 --yes    # never again

A retry of one that its chain waits for (held) calls it again where it stands. Of any other a new packet is made, at the end of its
chain. Where nobody can be asked, discard needs --yes."
)]
pub(crate) struct DeadLetters {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows them, the oldest first
    List(List),
    /// Has them called once more
    Retry(Retry),
    /// Gives them up for good
    Discard(Discard),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only those of this handler
    #[arg(long, value_name = "NAME")]
    handler: Option<String>,
    /// So many at most
    #[arg(long, value_name = "N", default_value_t = LIMIT)]
    limit: usize,
    /// With what they carry: text, data, headers and files; with --json bytes are base64
    #[arg(long)]
    content: bool,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// By number
    #[arg(value_name = "ID", num_args = 1..=1000)]
    ids: Vec<u64>,
    /// All of this handler
    #[arg(long, value_name = "HANDLER")]
    all: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Retry {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, clap::Args)]
struct Discard {
    #[command(flatten)]
    which: Which,
    /// Ask nothing
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    options: Options,
}

impl DeadLetters {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        match &self.command {
            None => self.list.run(),
            Some(Command::List(list)) => list.run(),
            Some(Command::Retry(retry)) => retry.run(),
            Some(Command::Discard(discard)) => discard.run(),
        }
    }
}

impl List {
    fn run(&self) -> Result<(), Failure> {
        let (letters, more) = calling_with(&self.options, async |client| {
            let mut request = proto::DeadLettersRequest {
                handler: self.handler.clone().unwrap_or_default(),
                page_size: 1000,
                page_token: String::new(),
                content: self.content,
            };
            let mut letters = Vec::new();
            loop {
                let page = client.dead_letters(request.clone()).await?.into_inner();
                letters.extend(page.letters);
                request.page_token = page.next_page_token;
                if request.page_token.is_empty() || letters.len() >= self.limit {
                    let more = letters.len() > self.limit || !request.page_token.is_empty();
                    letters.truncate(self.limit);
                    return Ok((letters, more));
                }
            }
        })?;
        self.options.write(&json::letters(&letters, more), |out| {
            show::letters(&letters, more, out)?;
            match self.content {
                true => show::contents(&letters, out),
                false => Ok(()),
            }
        })
    }
}

impl Retry {
    fn run(&self) -> Result<(), Failure> {
        let which = &self.which;
        let request = proto::RetryDeadLettersRequest {
            ids: which.ids.clone(),
            handler: which.all.clone().unwrap_or_default(),
        };
        let response = calling(&self.options, async |client| {
            client.retry_dead_letters(request).await
        })?;
        let shown = serde_json::json!({
            "retried": response.retried,
            "left": response.left,
            "reasons": json::reasons(&response.reasons),
        });
        self.options.write(&shown, |out| {
            let (one, more) = ("dead letter is tried again", "dead letters are tried again");
            told(response.retried, one, more, &response.reasons, out)
        })?;
        whole(response.left)
    }
}

impl Discard {
    fn run(&self) -> Result<(), Failure> {
        let which = &self.which;
        let question = match &which.all {
            Some(handler) => format!("all dead letters of {handler} are given up for good"),
            None => {
                let (one, more) = (
                    "dead letter is given up for good",
                    "dead letters are given up for good",
                );
                counted(which.ids.len() as u64, one, more)
            }
        };
        confirm(self.yes, "discard", &question)?;
        let request = proto::DiscardDeadLettersRequest {
            ids: which.ids.clone(),
            handler: which.all.clone().unwrap_or_default(),
        };
        let response = calling(&self.options, async |client| {
            client.discard_dead_letters(request).await
        })?;
        let shown = serde_json::json!({
            "discarded": response.discarded,
            "left": response.left,
            "reasons": json::reasons(&response.reasons),
        });
        self.options.write(&shown, |out| {
            let (one, more) = ("dead letter is discarded", "dead letters are discarded");
            told(response.discarded, one, more, &response.reasons, out)
        })?;
        whole(response.left)
    }
}

fn told(
    count: u64,
    one: &str,
    more: &str,
    left: &[proto::LetterLeft],
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "{}", counted(count, one, more))?;
    for left in left {
        writeln!(out, "{}: {}", left.id, shown(&left.message))?;
    }
    Ok(())
}

/// What was left is a failure, for a script.
fn whole(left: u64) -> Result<(), Failure> {
    match left {
        0 => Ok(()),
        left => Err(Error::Left(left).into()),
    }
}
