//! Lines on their way: sent in order, in batches, until each is final.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::thread;
use std::time::Duration;

use prost::Message as _;
use tidegate_client::Client;
use tidegate_client::proto::{
    Action, BatchRequest, BatchResponse, Outcome, Packet, PacketResult, Settled,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::Send;
use super::lines::{self, Form, Line, Lines, Unread};
use super::position::{Kept, Position};
use super::progress::Progress;
use super::report::{Report, Tally};
use crate::cli::Failure;
use crate::cli::client::{Error, backoff, may_pass, may_repeat, pause_of, show};
use crate::cli::signals::Signals;

/// Of one request; more hardly makes it faster.
const PACKETS: usize = 4_000;
const BYTES: usize = 2 << 20;
/// What stands around a packet in its request.
const AROUND: usize = 8;
/// Pieces that are read ahead.
const AHEAD: usize = 4;
/// So much of a crash's work is done twice, and told as before.
const SAVED_EVERY: Duration = Duration::from_secs(1);
/// Without progress.
const PATIENCE: Duration = Duration::from_secs(300);

/// One that was read and is not past.
#[derive(Debug)]
struct Waiting {
    line: Line,
    /// `None`: it is done.
    packet: Option<Packet>,
    /// In its request's encoding.
    bytes: usize,
}

/// All that one call has on its way.
struct Sending<'a> {
    client: Client,
    chunks: mpsc::Receiver<Result<Vec<Line>, Unread>>,
    /// Read and not yet let in.
    next: VecDeque<Line>,
    ended: bool,
    /// In order of their lines.
    window: VecDeque<Waiting>,
    bytes: usize,
    max_packet: usize,
    /// The last place that was given, of each handler.
    places: BTreeMap<String, u64>,
    position: Position,
    kept: Option<Kept>,
    saved: Instant,
    /// What the gateway may forget, and what it was told to.
    settle: BTreeMap<String, u64>,
    settled: BTreeMap<String, u64>,
    report: Report,
    progress: Progress,
    patience: Duration,
    failed: u32,
    send: &'a Send,
}

pub(super) async fn send(send: &Send) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let (kept, position) = match &send.many.position {
        Some(path) => {
            let (kept, position) = Kept::open(path)?;
            (Some(kept), position)
        }
        None => (None, Position::new()),
    };
    let client = send.options.connect(&position.client_id).await?;
    let info = client.info().await.map_err(Error::from)?;
    let (input, bytes) = lines::open(send.many.input.as_deref()).map_err(|error| {
        let name = send.many.input.as_deref();
        let name = name.map_or_else(
            || "standard input".into(),
            |path| path.display().to_string(),
        );
        Error::Usage(format!("{name}: {error}"))
    })?;
    let (into, chunks) = mpsc::channel(AHEAD);
    let (mut lines, mark) = (Lines::new(input, Form::of(send)), position.mark);
    // A thread of its own: who waits for a line of a terminal cannot be told to stop, and ends with the process.
    thread::spawn(move || match lines.skip_to(mark) {
        Ok(()) => lines.read(&into),
        Err(why) => drop(into.blocking_send(Err(Unread(why)))),
    });
    let before = position.tally;
    let mut sending = Sending {
        client,
        chunks,
        next: VecDeque::new(),
        ended: false,
        window: VecDeque::new(),
        bytes: 0,
        max_packet: usize::try_from(info.max_packet_bytes).unwrap_or(usize::MAX),
        places: position.places.clone(),
        report: Report::new(send.options.json, send.many.refused.as_deref(), before)?,
        progress: Progress::new(send.many.quiet || send.options.json, bytes, mark),
        position,
        kept,
        saved: Instant::now(),
        settle: BTreeMap::new(),
        settled: BTreeMap::new(),
        patience: send.patience.timeout.unwrap_or(PATIENCE),
        failed: 0,
        send,
    };
    let began = Instant::now();
    let ended = tokio::select! {
        ended = sending.all() => ended,
        _ = signals.next() => Err(Error::Interrupted(String::new()).into()),
    };
    sending.end(before, began.elapsed(), ended).await
}

impl Sending<'_> {
    async fn all(&mut self) -> Result<(), Failure> {
        let mut last_progress = Instant::now();
        while self.fill().await? {
            let (request, sent) = self.request();
            let pause = match self.client.sync(request).await {
                Ok(answer) => {
                    let lines = self.report.tally.lines();
                    let pause = self.take(&sent, answer)?;
                    if self.report.tally.lines() > lines {
                        last_progress = Instant::now();
                        self.failed = 0;
                    }
                    pause
                }
                Err(error) if may_pass(&error) => {
                    if last_progress.elapsed() >= self.patience {
                        return Err(Error::from(error).into());
                    }
                    self.progress.waits(&format!("waiting: {error}"));
                    Some((backoff(self.failed), error.to_string()))
                }
                Err(error) => return Err(Error::from(error).into()),
            };
            let Some((pause, why)) = pause else { continue };
            if last_progress.elapsed() >= self.patience {
                return Err(Error::Open(why).into());
            }
            self.failed += 1;
            sleep(pause).await;
        }
        Ok(())
    }

    /// Lets in what is read, as far as there is room. Waits for it only if there is nothing else to do. False: it is the end.
    async fn fill(&mut self) -> Result<bool, Failure> {
        loop {
            while self.window.len() < PACKETS && self.bytes < BYTES {
                let Some(line) = self.next.pop_front() else {
                    break;
                };
                self.let_in(line)?;
            }
            self.pass()?;
            let open = self.window.iter().any(|waiting| waiting.packet.is_some());
            let full = self.window.len() >= PACKETS || self.bytes >= BYTES;
            if self.ended || full {
                return Ok(open);
            }
            let chunk = match self.chunks.try_recv() {
                Ok(chunk) => Some(chunk),
                Err(mpsc::error::TryRecvError::Empty) if open => return Ok(true),
                Err(_) => self.chunks.recv().await,
            };
            match chunk {
                Some(Ok(chunk)) => self.next.extend(chunk),
                Some(Err(Unread(why))) => return Err(Error::Input(why).into()),
                None => self.ended = true,
            }
        }
    }

    /// Gives it its place.
    fn let_in(&mut self, mut line: Line) -> io::Result<()> {
        let read = std::mem::replace(&mut line.packet, Err(String::new()));
        let sized = read.and_then(|mut packet| {
            let places = self.places.get(&packet.handler);
            packet.seq = match has_place(&packet) {
                true => places.map_or(1, |place| place + 1),
                false => 0,
            };
            if packet.seq == 0 && packet.req_id.is_empty() {
                packet.req_id = format!("line-{}", line.end.lines);
            }
            let bytes = packet.encoded_len();
            match bytes <= self.max_packet {
                true => Ok((packet, bytes + AROUND)),
                false => Err(format!(
                    "it has {bytes} bytes as a packet: at most {} would be right",
                    self.max_packet
                )),
            }
        });
        let (packet, bytes) = match sized {
            Ok((packet, bytes)) => {
                if packet.seq > 0 {
                    match self.places.get_mut(&packet.handler) {
                        Some(place) => *place = packet.seq,
                        None => drop(self.places.insert(packet.handler.clone(), packet.seq)),
                    }
                }
                (Some(packet), bytes)
            }
            Err(why) => {
                let (report, progress) = (&mut self.report, &self.progress);
                progress.aside(|| report.unreadable(&line, &why))?;
                (None, 0)
            }
        };
        self.bytes += bytes;
        self.window.push_back(Waiting {
            line,
            packet,
            bytes,
        });
        Ok(())
    }

    /// All that is open, and which of the window that is.
    fn request(&mut self) -> (BatchRequest, Vec<usize>) {
        let mut sent = Vec::with_capacity(self.window.len());
        let mut request = BatchRequest::default();
        for (index, waiting) in self.window.iter().enumerate() {
            if let Some(packet) = &waiting.packet {
                request.packets.push(packet.clone());
                sent.push(index);
            }
        }
        request.settled = self.newly_settled();
        (request, sent)
    }

    fn newly_settled(&mut self) -> Vec<Settled> {
        let mut settled = Vec::new();
        for (handler, &through) in &self.settle {
            if self.settled.get(handler) != Some(&through) {
                self.settled.insert(handler.clone(), through);
                settled.push(Settled {
                    handler: handler.clone(),
                    through,
                    req_ids: Vec::new(),
                });
            }
        }
        settled
    }

    /// Why and for how long to wait before those that are left are sent again; `None`: nothing is to be sent again yet.
    fn take(
        &mut self,
        sent: &[usize],
        answer: BatchResponse,
    ) -> Result<Option<(Duration, String)>, Failure> {
        if answer.results.len() != sent.len() {
            let (got, of) = (answer.results.len(), sent.len());
            return Err(Error::Open(format!("the gateway told {got} results of {of}")).into());
        }
        let mut pause = None;
        for (&index, result) in sent.iter().zip(&answer.results) {
            if may_repeat(result) {
                if pause.is_none() && result.outcome() != Outcome::Accepted {
                    pause = Some((pause_of(result, self.failed), show::why(result)));
                }
                continue;
            }
            self.done(index, result)?;
        }
        self.pass()?;
        Ok(pause)
    }

    fn done(&mut self, index: usize, result: &PacketResult) -> io::Result<()> {
        let waiting = &mut self.window[index];
        waiting.packet = None;
        self.bytes -= std::mem::take(&mut waiting.bytes);
        let (report, line) = (&mut self.report, &waiting.line);
        match result.outcome() {
            Outcome::Ok => report.done(line, result),
            _ => self.progress.aside(|| report.done(line, result)),
        }
    }

    /// The position moves past what is done.
    fn pass(&mut self) -> io::Result<()> {
        let mut moved = false;
        while let Some(first) = self.window.front()
            && first.packet.is_none()
        {
            self.position.mark = first.line.end;
            self.window.pop_front();
            moved = true;
        }
        if !moved {
            return Ok(());
        }
        self.progress.at(self.position.mark);
        if self.kept.is_none() || self.saved.elapsed() >= SAVED_EVERY {
            self.save()?;
        }
        Ok(())
    }

    /// What is saved may be forgotten by the gateway, and not before: after a crash it is asked for.
    fn save(&mut self) -> io::Result<()> {
        // Places that are given to lines which still wait are not used up.
        let mut places = self.places.clone();
        for waiting in self.window.iter().rev() {
            if let Some(packet) = &waiting.packet
                && packet.seq > 0
                && let Some(place) = places.get_mut(&packet.handler)
            {
                *place = packet.seq - 1;
            }
        }
        self.position.places.clone_from(&places);
        self.position.tally = self.report.tally;
        if let Some(kept) = &mut self.kept {
            kept.save(&self.position)?;
            self.saved = Instant::now();
        }
        places.retain(|_, place| *place > 0);
        self.settle = places;
        Ok(())
    }

    async fn end(
        mut self,
        before: Tally,
        took: Duration,
        ended: Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.progress.end();
        self.save()?;
        let settled = self.newly_settled();
        if ended.is_ok() && !settled.is_empty() {
            let request = BatchRequest {
                settled,
                ..BatchRequest::default()
            };
            // It only frees room.
            let _ = self.client.sync(request).await;
        }
        self.report.summary(before, took)?;
        match ended {
            Err(Failure::Client(Error::Interrupted(_))) => {
                Err(Error::Interrupted(self.how_to_go_on()).into())
            }
            Ok(()) => Ok(self.report.tally.verdict()?),
            Err(failure) => Err(failure),
        }
    }

    fn how_to_go_on(&self) -> String {
        let lines = self.position.mark.lines;
        match &self.send.many.position {
            Some(_) => format!("{lines} lines are done, and the same call goes on behind them"),
            None => format!("{lines} lines are done; with --position a call goes on behind them"),
        }
    }
}

/// READs, LISTs and what is unordered have none.
fn has_place(packet: &Packet) -> bool {
    !packet.unordered && !matches!(packet.action(), Action::Read | Action::List)
}
