//! The same life of packets through the embedded store as a whole, with its judging, its places and its tail: what the
//! engines above only hold rows for.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hdrhistogram::Histogram;
use rustix::time::ClockId;
use tidegate::store::embedded::{Embedded, Keep, Options};
use tidegate::store::{
    Change, Commit, Domain, Effect, Entry, Finish, Judged, Op, Origin, Place, QueueKey, Settle,
    Store, Tail, TakenId, Term, Unit,
};
use tidegate::types::{Answer, ClientKey, Content, Form, HandlerName, Principal};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

use crate::child;
use crate::engine::Result;
use crate::load::Scale;
use crate::measure::{self, Phase, cpu_time};
use crate::report::{mib, ms, table};

const CLIENTS: usize = 500;
const RECORDS: u64 = 100_000;
const LIMIT: Duration = Duration::from_secs(2 * 60 * 60);
const DOMAIN: Domain = Domain(1);

pub(crate) fn section(root: &Path, scale: &Scale, quick: bool) -> Result<String> {
    let dir = root.join("whole");
    std::fs::create_dir_all(&dir)?;
    let mut load = child::step("whole", &dir)?;
    load.args(quick.then_some("--quick"))
        .args(["--packets", &scale.fill.to_string()]);
    let phases: Vec<_> = child::told::<Vec<Phase>>(load, LIMIT)?
        .into_iter()
        .map(|phase| {
            vec![
                phase.name,
                format!("{:.0}", phase.packets_per_second),
                format!("{:.2}", phase.cpu_us_per_packet),
                ms(phase.p50_us),
                ms(phase.p999_us),
                ms(phase.longest_us),
                mib(phase.disk),
                mib(phase.resident),
            ]
        })
        .collect();
    let starts: Vec<_> = ["killed", "closed"]
        .map(|left| -> Result<Vec<String>> {
            let start: (u64, u64) = child::told(child::step("whole-reopen", &dir)?, LIMIT)?;
            Ok(vec![left.to_owned(), ms(start.0), mib(start.1)])
        })
        .into_iter()
        .collect::<Result<_>>()?;
    std::fs::remove_dir_all(&dir)?;
    let head = [
        "phase",
        "packets/s",
        "CPU µs/packet",
        "p50 ms",
        "p99.9 ms",
        "longest ms",
        "disk MiB",
        "RSS MiB",
    ];
    let out = table(
        "The embedded store as a whole, every commit fsynced",
        &head,
        &phases,
    );
    Ok(out + &table("Opening it again", &["left", "open ms", "RSS MiB"], &starts))
}

/// Ends without closing, so that the next start finds what a killed process leaves.
pub(crate) fn load(dir: &Path, scale: &Scale) -> Result<()> {
    let data = dir.join("data");
    let mut load = Load::open(&data, scale)?;
    let fill = scale.fill;
    let mut phases = vec![load.phase("fill by 1000", &data, 1_000, |_, packets| packets < fill)?];
    for (n, wanted) in scale.commits {
        let name = format!("{wanted} of {n}");
        phases.push(load.phase(&name, &data, n, |commits, _| commits < wanted)?);
    }
    child::tell(&phases)?;
    std::process::exit(0);
}

pub(crate) fn reopen(dir: &Path, scale: &Scale) -> Result<()> {
    let at = Instant::now();
    let store = Embedded::open(&dir.join("data"), options(scale), Arc::new(Nobody))?;
    let opened = at.elapsed().as_micros() as u64;
    let resident = measure::resident()?;
    Builder::new_current_thread()
        .build()?
        .block_on(store.close());
    child::tell(&(opened, resident))
}

fn options(scale: &Scale) -> Options {
    let mut keep = Keep::default();
    // About what the engines above keep: nine tenths of what the fill brings.
    keep.messages.bytes = scale.fill * 2 / 5 * 9 / 10 * 200;
    Options {
        keep,
        ..Options::default()
    }
}

#[derive(Debug)]
struct Nobody;

impl Tail for Nobody {
    fn committed(&self, _: &[Entry]) {}
}

/// One client of the load.
struct Client {
    taken: Arc<Origin>,
    records: Arc<Origin>,
    next: [u64; 2],
    /// What it has got results for.
    settled: [u64; 2],
}

struct Load {
    runtime: Runtime,
    store: Embedded,
    term: Term,
    clients: Vec<Client>,
    client: usize,
    step: usize,
    taken: VecDeque<(usize, Vec<TakenId>)>,
    data: Bytes,
}

impl Load {
    fn open(data: &Path, scale: &Scale) -> Result<Self> {
        let store = Embedded::open(data, options(scale), Arc::new(Nobody))?;
        let runtime = Builder::new_current_thread().build()?;
        let term = runtime.block_on(store.take_over(DOMAIN))?;
        let origin = |client: usize, handler: &str| -> Result<Arc<Origin>> {
            Ok(Arc::new(Origin {
                principal: Arc::new(Principal::default()),
                client: Some(Arc::new(ClientKey {
                    tenant: "".into(),
                    subject: "load".into(),
                    client_id: format!("client-{client}").into(),
                })),
                handler: HandlerName::new(handler).ok_or("a name of a handler")?,
            }))
        };
        let clients = (0..CLIENTS).map(|client| {
            Ok(Client {
                taken: origin(client, "taken")?,
                records: origin(client, "records")?,
                next: [1, 1],
                settled: [0, 0],
            })
        });
        Ok(Self {
            clients: clients.collect::<Result<_>>()?,
            runtime,
            store,
            term,
            client: 0,
            step: 0,
            taken: VecDeque::new(),
            data: Bytes::from(vec![b'x'; 100]),
        })
    }

    fn phase(
        &mut self,
        name: &str,
        dir: &Path,
        n: usize,
        more: impl Fn(u64, u64) -> bool,
    ) -> Result<Phase> {
        let (mut commits, mut packets) = (0, 0);
        let mut times = Histogram::<u64>::new(3)?;
        let mut making = Duration::ZERO;
        let (started, cpu) = (Instant::now(), cpu_time(ClockId::ProcessCPUTime));
        while more(commits, packets) {
            let before = cpu_time(ClockId::ThreadCPUTime);
            let (commit, done) = self.next(n);
            making += cpu_time(ClockId::ThreadCPUTime) - before;
            let at = Instant::now();
            let store = &self.store;
            let judged = self
                .runtime
                .block_on(async { store.commit(commit).await?.await })?;
            times.record(at.elapsed().as_micros() as u64)?;
            let taken = judged.iter().filter_map(|judged| match judged {
                Judged::Taken(taken) => Some(*taken),
                _ => None,
            });
            let taken: Vec<_> = taken.collect();
            if !taken.is_empty() {
                self.taken.push_back((self.client, taken));
            }
            commits += 1;
            packets += done;
        }
        let spent = cpu_time(ClockId::ProcessCPUTime) - cpu - making;
        Ok(Phase {
            name: name.to_owned(),
            packets_per_second: packets as f64 / started.elapsed().as_secs_f64(),
            cpu_us_per_packet: spent.as_secs_f64() * 1e6 / packets as f64,
            p50_us: times.value_at_quantile(0.5),
            p999_us: times.value_at_quantile(0.999),
            longest_us: times.max(),
            disk: measure::disk(dir)?,
            resident: measure::resident()?,
        })
    }

    /// The next commit, and how many packets are final with it.
    fn next(&mut self, n: usize) -> (Commit, u64) {
        let mut commit = Commit::new(DOMAIN, self.term, SystemTime::now());
        let done = match self.step % 8 {
            0 | 2 | 5 => self.take(n, &mut commit),
            1 | 4 | 6 => self.finish(&mut commit),
            _ => self.records(n, &mut commit),
        };
        self.step += 1;
        (commit, done)
    }

    fn take(&mut self, n: usize, commit: &mut Commit) -> u64 {
        self.client = (self.client + 1) % CLIENTS;
        let client = &mut self.clients[self.client];
        settle(self.client, &client.taken, client.settled[0], commit);
        for _ in 0..n {
            let effect = Effect::Take(self.data.clone());
            commit
                .units
                .push(unit(&client.taken, client.next[0], effect));
            client.next[0] += 1;
        }
        0
    }

    fn finish(&mut self, commit: &mut Commit) -> u64 {
        let Some((client, taken)) = self.taken.pop_front() else {
            return 0;
        };
        self.clients[client].settled[0] += taken.len() as u64;
        let done = taken.len() as u64;
        commit
            .finishes
            .extend(taken.into_iter().map(|taken| Finish {
                taken,
                answer: Arc::new(Answer {
                    content: Content::bytes(self.data.clone()),
                    ..Answer::ok()
                }),
                messages: Default::default(),
                awaited: false,
                death: None,
            }));
        done
    }

    fn records(&mut self, n: usize, commit: &mut Commit) -> u64 {
        self.client = (self.client + 1) % CLIENTS;
        let client = &mut self.clients[self.client];
        settle(self.client, &client.records, client.settled[1], commit);
        client.settled[1] = client.next[1] - 1;
        for at in 0..n as u64 {
            let record = (self.step as u64 * 48_271 + at * 7_919) % RECORDS;
            let change = Change {
                op: Op::Put,
                key: format!("record.{record}").into(),
                if_version: None,
                content: Some((Form::Bytes, self.data.clone())),
            };
            let effect = Effect::Change {
                collection: "records".into(),
                changes: [change].into_iter().collect(),
            };
            commit
                .units
                .push(unit(&client.records, client.next[1], effect));
            client.next[1] += 1;
        }
        n as u64
    }
}

/// Every tenth client never settles.
fn settle(client: usize, origin: &Origin, through: u64, commit: &mut Commit) {
    if let Some(key) = &origin.client
        && !client.is_multiple_of(10)
    {
        commit.settles.push(Settle {
            queue: QueueKey {
                client: key.clone(),
                handler: origin.handler.clone(),
            },
            through,
            req_ids: Vec::new(),
        });
    }
}

fn unit(origin: &Arc<Origin>, seq: u64, effect: Effect) -> Unit {
    Unit {
        origin: origin.clone(),
        group: 1,
        place: Place::Seq(seq),
        fingerprint: seq,
        req_id: "".into(),
        awaited: false,
        effect,
    }
}
