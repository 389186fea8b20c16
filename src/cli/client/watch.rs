//! `tidegate watch`.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::json;
use tidegate_client::proto::event::Event as Kind;
use tidegate_client::proto::{Event, EventsRequest};
use tidegate_client::{Client, EventStream};
use tokio::time::{sleep, timeout};

use super::show::{self, DIM, NOTICE};
use super::{Error, Options, answer, backoff, json, may_pass, run};
use crate::cli::Failure;
use crate::cli::signals;
use crate::cli::text::shown;

/// Whoever is silent for so many heartbeats is gone.
const SILENT_BEATS: u32 = 2;
/// How often a heartbeat comes, until the stream says it.
const BEAT: Duration = Duration::from_secs(15);

/// Writes what is published, as it comes; a lost connection is made again, and nothing is missed that is kept
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate watch                               # every topic, from now on
  tidegate watch chat.kitchen --last 10        # the last ten, then what comes
  tidegate watch 'records.todos.>' --earliest  # all changes of a collection that are kept
  tidegate watch 'chat.>' --earliest --count 1 --json | jq -r .cursor

In a pattern `*` is one token, and `>` at the end one or more. Stopped with Ctrl-C it says where --from goes on; with --json each line has
its cursor. It ends with 0 after --count, 130 when it was stopped, and 69 where no gateway answers in the beginning.")]
pub(in crate::cli) struct Watch {
    /// Topics, with wildcards; every one without [default: >]
    #[arg(value_name = "PATTERN")]
    patterns: Vec<String>,
    /// Goes on behind this cursor
    #[arg(long, value_name = "CURSOR", conflicts_with_all = ["earliest", "last"])]
    from: Option<String>,
    /// Begins with the oldest that is kept
    #[arg(long, conflicts_with = "last")]
    earliest: bool,
    /// Begins with the last N that are kept
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    last: Option<u32>,
    /// Ends after so many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// The results of this client, too
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    client_id: String,
    #[command(flatten)]
    options: Options,
}

/// What is followed, and how far.
struct Following<'a> {
    watch: &'a Watch,
    client: Client,
    cursor: String,
    left: Option<u64>,
    /// Failed streams since something came.
    failed: u32,
}

impl Watch {
    pub(in crate::cli) fn run(&self) -> Result<(), Failure> {
        run(async {
            let stopped = signals::stopped()?;
            let client = self.options.connect(&self.client_id).await?;
            let mut following = Following {
                watch: self,
                client,
                cursor: self.from.clone().unwrap_or_default(),
                left: self.count,
                failed: 0,
            };
            tokio::select! {
                ended = following.follow() => ended,
                () = stopped => {
                    let on = match following.cursor.as_str() {
                        "" => "nothing had come".to_owned(),
                        cursor => format!("--from {cursor} goes on here"),
                    };
                    Err(Error::Interrupted(on).into())
                }
            }
        })
    }

    fn request(&self, cursor: &str) -> EventsRequest {
        let request = match &self.patterns[..] {
            [] => EventsRequest::on([">"]),
            patterns => EventsRequest::on(patterns),
        };
        match (cursor, self.last) {
            ("", Some(last)) => request.from_last(last),
            ("", None) if self.earliest => request.from_earliest(),
            ("", None) => request,
            (cursor, _) => request.from_cursor(cursor),
        }
    }
}

impl Following<'_> {
    /// Until there were as many as wanted.
    async fn follow(&mut self) -> Result<(), Failure> {
        loop {
            let opened = self.client.events(self.watch.request(&self.cursor)).await;
            let pause = match opened {
                Ok(stream) => match self.read(stream).await? {
                    Some(pause) => pause,
                    None => return Ok(()),
                },
                Err(error) if may_pass(&error) => {
                    self.notice(&format!("no stream: {error}"))?;
                    backoff(self.failed)
                }
                Err(error) => return Err(Error::from(error).into()),
            };
            self.failed += 1;
            sleep(pause).await;
        }
    }

    /// When to open the next one; `None`: there is no need.
    async fn read(&mut self, mut stream: EventStream) -> Result<Option<Duration>, Failure> {
        let mut beat = BEAT;
        let mut pause = None;
        loop {
            let event = match timeout(beat * SILENT_BEATS, stream.next()).await {
                Ok(Some(Ok(event))) => event,
                Ok(Some(Err(error))) if may_pass(&error) => {
                    self.notice(&format!("the stream was lost: {error}"))?;
                    return Ok(Some(backoff(self.failed)));
                }
                Ok(Some(Err(error))) => return Err(Error::from(error).into()),
                Ok(None) => return Ok(Some(pause.unwrap_or_else(|| backoff(self.failed)))),
                Err(_) => {
                    self.notice("the stream is silent")?;
                    return Ok(Some(Duration::ZERO));
                }
            };
            self.failed = 0;
            match &event.event {
                Some(Kind::Connected(connected)) => {
                    let told = connected.heartbeat_interval;
                    beat = told
                        .and_then(|beat| Duration::try_from(beat).ok())
                        .filter(|beat| !beat.is_zero())
                        .unwrap_or(BEAT);
                }
                Some(Kind::GoAway(away)) => {
                    let after = away.reconnect_after;
                    pause = Some(
                        after
                            .and_then(|after| Duration::try_from(after).ok())
                            .unwrap_or_default(),
                    );
                }
                _ => self.tell(&event)?,
            }
            if !event.cursor.is_empty() {
                self.cursor = event.cursor;
            }
            if self.left == Some(0) {
                return Ok(None);
            }
        }
    }

    fn tell(&mut self, event: &Event) -> io::Result<()> {
        match &event.event {
            Some(Kind::Message(message)) => {
                self.left = self.left.map(|left| left - 1);
                if self.watch.options.json {
                    let mut line = json::message(message);
                    line["cursor"] = event.cursor.clone().into();
                    return answer::line(&line);
                }
                let mut out = anstream::stdout().lock();
                writeln!(out, "{}", show::message(message))?;
                out.flush()
            }
            Some(Kind::Results(results)) => {
                for result in &results.results {
                    if self.watch.options.json {
                        let result = json::result(result);
                        answer::line(&json!({ "result": result, "cursor": event.cursor }))?;
                    } else {
                        let (handler, seq) = (shown(&result.handler), result.seq);
                        let mut out = anstream::stdout().lock();
                        let whose =
                            format!("{DIM}{handler} {seq} {}{DIM:#}", shown(&result.req_id));
                        writeln!(out, "{whose} {}", show::why(result))?;
                    }
                }
                Ok(())
            }
            Some(Kind::Gap(gap)) if self.watch.options.json => {
                let cause = gap.cause().as_str_name().trim_start_matches("CAUSE_");
                let gap = json!({ "cause": cause, "pattern": gap.pattern, "missed": gap.missed });
                answer::line(&json!({ "gap": gap, "cursor": event.cursor }))
            }
            Some(Kind::Gap(gap)) => self.notice(&show::gap(gap)),
            _ => Ok(()),
        }
    }

    fn notice(&self, text: &str) -> io::Result<()> {
        writeln!(anstream::stderr(), "{NOTICE}{text}{NOTICE:#}")
    }
}
