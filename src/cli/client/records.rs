//! `tidegate list`, `get`, `put` and `delete`: a collection of records.

use std::io::{self, IsTerminal as _, Write};

use tidegate_client::proto::{Packet, PacketResult, Record};

use super::content::{Content, short, told};
use super::show::{DIM, NOTICE};
use super::{Options, Patience, Repeats, answer, json, once, random_name, run};
use crate::cli::Failure;
use crate::cli::text::{Side, shown, table};

/// The most that one answer brings.
const PAGE: usize = 1000;
/// Of content, in a table.
const WIDTH: usize = 60;

/// Lists the records of a collection, in the order of their keys
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate list todos        # the first thousand
  tidegate list todos home.  # those whose keys start with home.
  tidegate list todos --all --json | jq -r .text

It ends with 0, 1 when it was refused, and 69 where no gateway answers.")]
pub(in crate::cli) struct List {
    /// The collection
    handler: String,
    /// What their keys start with
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,
    /// So many at most
    #[arg(long, value_name = "N", default_value_t = PAGE, conflicts_with = "all")]
    limit: usize,
    /// However many there are
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    options: Options,
}

/// Writes the content of a record: text as it is, bytes as base64 with a mark
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate get todos milk
  tidegate get todos milk --json | jq .version
  tidegate get pictures cat --raw > cat.png

It ends with 0, 1 when there is no such record, and 69 where no gateway answers.")]
pub(in crate::cli) struct Get {
    /// The collection
    handler: String,
    key: String,
    /// The bytes as they are, and nothing behind them
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    options: Options,
}

/// Creates or replaces a record; without a TEXT its content is standard input
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate put todos milk 'buy milk'
  tidegate put todos milk 'buy oat milk' --if-version 1  # if nobody else has changed it
  tidegate put pictures cat < cat.png

It ends with 0 when it is on disk, 1 when it was refused, 69 where no gateway answers, and 75 when it is not known yet what became of
it.")]
pub(in crate::cli) struct Put {
    /// The collection
    handler: String,
    key: String,
    #[command(flatten)]
    content: Content,
    /// Only while it has this version; 0: only if there is none
    #[arg(long, value_name = "N")]
    if_version: Option<u64>,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    options: Options,
}

/// Deletes a record
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate delete todos bread
  tidegate delete todos milk --if-version 3  # if nobody has changed it since

It ends with 0 when that is on disk, 1 when there is no such record or it was refused, 69 where no gateway answers, and 75 when it is
not known yet what became of it.")]
pub(in crate::cli) struct Delete {
    /// The collection
    handler: String,
    key: String,
    /// Only while it has this version
    #[arg(long, value_name = "N")]
    if_version: Option<u64>,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    options: Options,
}

impl List {
    pub(in crate::cli) fn run(&self) -> Result<(), Failure> {
        run(self.pages())
    }

    async fn pages(&self) -> Result<(), Failure> {
        let client = self.options.connect(&random_name()).await?;
        let mut left = if self.all { usize::MAX } else { self.limit };
        let (mut token, mut first) = (String::new(), true);
        while left > 0 {
            let size = left.min(PAGE) as u32;
            let packet = Packet::list(&self.handler, &self.prefix).page(size, token);
            let page = once(&client, packet, Repeats::Harmless, self.patience.of_one()).await?;
            let page = self.options.asked(page)?;
            self.write(&page, first)?;
            left = left.saturating_sub(page.records.len() + page.messages.len());
            (token, first) = (page.next_page_token, false);
            if token.is_empty() {
                return Ok(());
            }
        }
        if !self.options.json {
            let more = "there are more: --limit or --all brings them";
            writeln!(anstream::stderr(), "{NOTICE}{more}{NOTICE:#}")?;
        }
        Ok(())
    }

    fn write(&self, page: &PacketResult, first: bool) -> io::Result<()> {
        if self.options.json {
            let mut records = page.records.iter().map(json::record);
            let mut messages = page.messages.iter().map(json::message);
            records.try_for_each(|record| answer::line(&record))?;
            return messages.try_for_each(|message| answer::line(&message));
        }
        let mut out = anstream::stdout().lock();
        if !page.records.is_empty() {
            let head = ["KEY", "VERSION", "UPDATED", "CONTENT"].map(str::to_owned);
            let lines = page.records.iter().map(cells);
            let lines: Vec<_> = first.then_some(head).into_iter().chain(lines).collect();
            let columns = [Side::Left, Side::Right, Side::Left, Side::Left];
            table(&lines, &columns, &mut out)?;
        }
        // The history of a topic, and what a service of one's own lists.
        let others = PacketResult {
            records: Vec::new(),
            ..page.clone()
        };
        for line in super::show::answer(&others) {
            writeln!(out, "{line}")?;
        }
        if first && page.next_page_token.is_empty() && super::show::answer(page).is_empty() {
            writeln!(anstream::stderr(), "{DIM}there is nothing{DIM:#}")?;
        }
        out.flush()
    }
}

fn cells(record: &Record) -> [String; 4] {
    let content = told(&record.text, &record.data);
    [
        record.key.clone(),
        record.version.to_string(),
        json::moment(record.updated_at.or(record.created_at)).unwrap_or_default(),
        short(&content, WIDTH),
    ]
}

impl Get {
    pub(in crate::cli) fn run(&self) -> Result<(), Failure> {
        run(async {
            let packet = Packet::read(&self.handler, &self.key);
            let result = self.options.one(&self.patience, packet).await?;
            let result = self.options.asked(result)?;
            let [record] = &result.records[..] else {
                // A service of one's own answers as it likes.
                return self.options.tell(result);
            };
            if self.options.json {
                return Ok(answer::line(&json::record(record))?);
            }
            Ok(self.write(record)?)
        })
    }

    fn write(&self, record: &Record) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.raw {
            let (text, data) = (record.text.as_bytes(), &record.data[..]);
            out.write_all(if data.is_empty() { text } else { data })?;
        } else if record.data.is_empty() && !out.is_terminal() {
            writeln!(out, "{}", record.text)?;
        } else if record.data.is_empty() {
            for line in record.text.split('\n') {
                writeln!(out, "{}", shown(line))?;
            }
        } else {
            writeln!(out, "{}", told("", &record.data))?;
        }
        out.flush()
    }
}

impl Put {
    pub(in crate::cli) fn run(&self) -> Result<(), Failure> {
        let mut packet = Packet::put(&self.handler, &self.key);
        self.content.put_or_piped(&mut packet)?;
        packet.if_version = self.if_version;
        change(&self.options, &self.patience, packet)
    }
}

impl Delete {
    pub(in crate::cli) fn run(&self) -> Result<(), Failure> {
        let mut packet = Packet::delete(&self.handler, &self.key);
        packet.if_version = self.if_version;
        change(&self.options, &self.patience, packet)
    }
}

fn change(options: &Options, patience: &Patience, packet: Packet) -> Result<(), Failure> {
    run(async {
        let result = options.one(patience, packet).await?;
        options.tell(result)
    })
}
