//! Lines on their way: sent in order, in batches, until each is final.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::thread;
use std::time::Duration;

use prost::Message as _;
use tidegate_client::Client;
use tidegate_client::proto::{
    Action, BatchRequest, BatchResponse, InfoResponse, Outcome, Packet, PacketResult, Reason,
    Settled,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::Send;
use super::lines::{self, Form, Line, Lines, Unread};
use super::position::{Kept, Position};
use super::progress::Progress;
use super::report::{End, Report, Tally};
use crate::cli::Failure;
use crate::cli::client::{Error, Needs, Repeats, backoff, may_pass, needs, pause_of, show};
use crate::cli::signals;

/// Of one request; more hardly makes it faster.
const PACKETS: usize = 4_000;
const BYTES: usize = 2 << 20;
/// What stands around a packet in its request.
const AROUND: usize = 8;
/// Handlers that one request may say `settled` of.
const SETTLED: usize = 1_000;
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
    state: State,
    /// In its request's encoding; 0 when it is done.
    bytes: usize,
}

#[derive(Debug)]
enum State {
    Open(Box<Packet>),
    /// With its place, if it had one: its handler's, and which.
    Done(End, Option<(String, u64)>),
}

/// All that one call of the command has on its way.
struct Sending<'a> {
    client: Client,
    info: InfoResponse,
    chunks: mpsc::Receiver<Result<Vec<Line>, Unread>>,
    /// Read and not yet let in.
    next: VecDeque<Line>,
    ended: bool,
    /// In order of their lines.
    window: VecDeque<Waiting>,
    bytes: usize,
    /// The last place that was given, of each handler.
    places: BTreeMap<String, u64>,
    /// What is past: nothing of what is in the window.
    position: Position,
    kept: Option<Kept>,
    saved: Instant,
    /// Handlers that something was OK at: of others the gateway keeps nothing.
    good: HashSet<String>,
    /// What the gateway may forget, and what it knows that it may.
    settle: BTreeMap<String, u64>,
    settled: BTreeMap<String, u64>,
    report: Report,
    progress: Progress,
    patience: Duration,
    last_progress: Instant,
    failed: u32,
    send: &'a Send,
}

pub(super) async fn send(send: &Send) -> Result<(), Failure> {
    let stopped = signals::stopped()?;
    let (kept, position) = match &send.many.position {
        Some(path) => {
            let (kept, position) = Kept::open(path, &send.described())?;
            (Some(kept), position)
        }
        None => (None, Position::new("")),
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
    let (before, began) = (position.tally, Instant::now());
    let mut sending = Sending {
        client,
        info,
        chunks,
        next: VecDeque::new(),
        ended: false,
        window: VecDeque::new(),
        bytes: 0,
        places: position.places.clone(),
        report: Report::new(send.options.json, send.many.refused.as_deref(), before)?,
        progress: Progress::new(send.many.quiet || send.options.json, bytes, mark),
        position,
        kept,
        saved: began,
        good: HashSet::new(),
        settle: BTreeMap::new(),
        settled: BTreeMap::new(),
        patience: send.patience.timeout.unwrap_or(PATIENCE),
        last_progress: began,
        failed: 0,
        send,
    };
    let ended = tokio::select! {
        ended = sending.all() => ended,
        () = stopped => Err(Error::Interrupted(String::new()).into()),
    };
    sending.end(before, began.elapsed(), ended).await
}

impl Sending<'_> {
    async fn all(&mut self) -> Result<(), Failure> {
        while self.fill().await? {
            let (request, sent) = self.request();
            let telling = request.settled.clone();
            let done = self.report.tally.lines();
            let open = match self.client.sync(request).await {
                Ok(answer) => {
                    let told = telling.into_iter();
                    self.settled
                        .extend(told.map(|told| (told.handler, told.through)));
                    self.take(&sent, &answer)?
                }
                Err(error) if may_pass(&error) => {
                    self.lost(&sent)?;
                    self.progress.waits(&error.to_string());
                    Some((backoff(self.failed), Error::from(error)))
                }
                Err(error) => return Err(Error::from(error).into()),
            };
            if self.report.tally.lines() > done {
                self.last_progress = Instant::now();
                self.failed = 0;
            }
            let Some((pause, why)) = open else { continue };
            if self.last_progress.elapsed() >= self.patience {
                return Err(why.into());
            }
            self.failed += 1;
            sleep(pause).await;
        }
        Ok(())
    }

    /// Lets in what is read, as far as there is room. Waits for it only if there is nothing else to do. False: it is the end.
    async fn fill(&mut self) -> Result<bool, Failure> {
        loop {
            while !self.is_full()
                && let Some(line) = self.next.pop_front()
            {
                self.let_in(line)?;
            }
            self.pass()?;
            let open = self.window.iter().any(Waiting::is_open);
            if open && (self.ended || self.is_full()) {
                return Ok(true);
            }
            if self.ended && self.next.is_empty() {
                return Ok(open);
            }
            let chunk = match self.chunks.try_recv() {
                Ok(chunk) => Some(chunk),
                Err(mpsc::error::TryRecvError::Empty) if open => return Ok(true),
                Err(_) => {
                    let chunk = self.chunks.recv().await;
                    // As long as there was nothing to send, nothing was in the way.
                    self.last_progress = Instant::now();
                    chunk
                }
            };
            match chunk {
                Some(Ok(chunk)) => self.next.extend(chunk),
                Some(Err(Unread(why))) => return Err(Error::Input(why).into()),
                None => self.ended = true,
            }
        }
    }

    fn is_full(&self) -> bool {
        self.window.len() >= PACKETS || self.bytes >= BYTES
    }

    /// Gives it its place.
    fn let_in(&mut self, mut line: Line) -> Result<(), Failure> {
        let read = std::mem::replace(&mut line.packet, Err(String::new()));
        let most = usize::try_from(self.info.max_packet_bytes).unwrap_or(usize::MAX);
        let sized = read.and_then(|mut packet| {
            if has_place(&packet) {
                packet.seq = self.places.get(&packet.handler).map_or(1, |last| last + 1);
            } else if packet.req_id.is_empty() {
                packet.req_id = format!("line-{}", line.end.lines);
            }
            let bytes = packet.encoded_len();
            match bytes <= most {
                true => Ok((packet, bytes + AROUND)),
                false => Err(format!(
                    "it has {bytes} bytes as a packet: at most {most} would be right"
                )),
            }
        });
        let (state, bytes) = match sized {
            Ok((packet, bytes)) => {
                if packet.seq > 0 {
                    raise(&mut self.places, &packet.handler, packet.seq);
                }
                (State::Open(Box::new(packet)), bytes)
            }
            Err(why) => {
                let (report, progress) = (&mut self.report, &self.progress);
                progress.aside(|| report.unreadable(&line, &why))?;
                (State::Done(End::Unreadable, None), 0)
            }
        };
        self.bytes += bytes;
        self.window.push_back(Waiting { line, state, bytes });
        Ok(())
    }

    /// All that is open, and which of the window that is.
    fn request(&self) -> (BatchRequest, Vec<usize>) {
        let mut sent = Vec::with_capacity(self.window.len());
        let mut request = BatchRequest {
            settled: self.newly_settled(),
            ..BatchRequest::default()
        };
        for (index, waiting) in self.window.iter().enumerate() {
            if let State::Open(packet) = &waiting.state {
                request.packets.push(Packet::clone(packet));
                sent.push(index);
            }
        }
        (request, sent)
    }

    /// As much as one request takes.
    fn newly_settled(&self) -> Vec<Settled> {
        let news = self
            .settle
            .iter()
            .filter(|(handler, through)| self.settled.get(*handler) != Some(through));
        let news = news.map(|(handler, &through)| Settled {
            handler: handler.clone(),
            through,
            req_ids: Vec::new(),
        });
        news.take(SETTLED).collect()
    }

    /// How long to wait before what is open is sent again, and what to say if that is too often; `None`: all is done.
    fn take(
        &mut self,
        sent: &[usize],
        answer: &BatchResponse,
    ) -> Result<Option<(Duration, Error)>, Failure> {
        if answer.results.len() != sent.len() {
            let (got, of) = (answer.results.len(), sent.len());
            return Err(Error::Open(format!("the gateway told {got} results of {of}")).into());
        }
        let mut open: Option<(Duration, Error)> = None;
        for (&index, result) in sent.iter().zip(&answer.results) {
            if !self.is_open_after(index, result) {
                self.told(index, result)?;
                continue;
            }
            self.look_behind(index, result);
            let pause = match result.outcome() {
                // It is waited for by sending it again, which ends as soon as it is done.
                Outcome::Accepted => Duration::ZERO,
                _ => pause_of(result, self.failed),
            };
            // The first that has to wait says why those behind it do.
            if open.as_ref().is_none_or(|(before, _)| before.is_zero()) {
                open = Some((pause, Error::Open(show::why(result))));
            }
        }
        self.pass()?;
        Ok(open)
    }

    fn is_open_after(&self, index: usize, result: &PacketResult) -> bool {
        match (needs(result), &self.window[index].state) {
            (Needs::Nothing, _) | (_, State::Done(..)) => false,
            (Needs::Repeat, _) => true,
            (Needs::SafeRepeat, State::Open(packet)) => self.repeats(packet) == Repeats::Harmless,
        }
    }

    fn repeats(&self, packet: &Packet) -> Repeats {
        match has_place(packet) || packet.unordered {
            true => Repeats::at(&self.info, &packet.handler),
            false => Repeats::Harmless,
        }
    }

    /// A gateway that has lost its state is told how far this queue is: it does not ask for what is done.
    fn look_behind(&mut self, index: usize, result: &PacketResult) {
        if result.reason() != Reason::EarlierMissing {
            return;
        }
        let handler = match &self.window[index].state {
            State::Open(packet) => &packet.handler,
            State::Done(..) => return,
        };
        let first = self.window.iter().find_map(|waiting| match &waiting.state {
            State::Open(packet) if packet.handler == *handler && packet.seq > 0 => Some(packet.seq),
            _ => None,
        });
        let Some(before) = first.map(|first| first - 1).filter(|before| *before > 0) else {
            return;
        };
        self.settled.remove(handler);
        raise(&mut self.settle, handler, before);
    }

    fn told(&mut self, index: usize, result: &PacketResult) -> Result<(), Failure> {
        let outcome = result.outcome();
        self.done(index, End::Told(outcome));
        if outcome == Outcome::Ok && !self.good.contains(&result.handler) {
            self.good.insert(result.handler.clone());
        }
        let (report, line) = (&mut self.report, &self.window[index].line);
        match outcome {
            Outcome::Ok => report.told(line, result),
            _ => self.progress.aside(|| report.told(line, result)),
        }
    }

    /// What was sent with a call that is lost may have been applied: where that is not known to a repeat, it is not repeated.
    fn lost(&mut self, sent: &[usize]) -> Result<(), Failure> {
        for &index in sent {
            if let State::Open(packet) = &self.window[index].state
                && self.repeats(packet) == Repeats::MayDouble
            {
                self.done(index, End::Untold);
                let (report, line) = (&mut self.report, &self.window[index].line);
                self.progress.aside(|| report.untold(line))?;
            }
        }
        self.pass()
    }

    fn done(&mut self, index: usize, end: End) {
        let waiting = &mut self.window[index];
        self.bytes -= std::mem::take(&mut waiting.bytes);
        let before = std::mem::replace(&mut waiting.state, State::Done(end, None));
        if let State::Open(packet) = before
            && packet.seq > 0
        {
            waiting.state = State::Done(end, Some((packet.handler, packet.seq)));
        }
    }

    /// The position moves past what is done, as far as nothing before it is open.
    fn pass(&mut self) -> Result<(), Failure> {
        let mut moved = false;
        while self.window.front().is_some_and(|first| !first.is_open()) {
            let Some(first) = self.window.pop_front() else {
                break;
            };
            if let State::Done(end, place) = first.state {
                self.position.tally.add(end);
                if let Some((handler, place)) = place {
                    raise(&mut self.position.places, &handler, place);
                }
            }
            self.position.mark = first.line.end;
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
    fn save(&mut self) -> Result<(), Failure> {
        if let Some(kept) = &mut self.kept {
            kept.save(&self.position)?;
            self.saved = Instant::now();
        }
        for (handler, &place) in &self.position.places {
            if self.good.contains(handler) {
                raise(&mut self.settle, handler, place);
            }
        }
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

impl Waiting {
    fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }
}

/// READs, LISTs and what is unordered have none.
fn has_place(packet: &Packet) -> bool {
    !packet.unordered && !matches!(packet.action(), Action::Read | Action::List)
}

/// To this place, if it is not there yet.
fn raise(places: &mut BTreeMap<String, u64>, handler: &str, place: u64) {
    match places.get_mut(handler) {
        Some(last) => *last = place.max(*last),
        None => drop(places.insert(handler.to_owned(), place)),
    }
}
