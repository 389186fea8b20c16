//! What stands between the gateway and a handler, and lets calls fail in every way that does not blame a packet.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};
use tidegate::wire::handler::handler_client::HandlerClient;
use tidegate::wire::proto::{HandleRequest, HandleResponse, HandleResult, Outcome};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::{Line, Service};

/// Of calls with fewer items it is not said that some item may be to blame.
const MANY: usize = 50;
/// The share of calls that fail as a whole.
const FAILING: f64 = 0.25;
/// The same of calls with one item.
const FAILING_ALONE: f64 = 0.05;

/// How many items of earlier calls are known.
const OTHERS: usize = 20;

const PASSING: [Code; 4] = [
    Code::Unavailable,
    Code::Aborted,
    Code::Cancelled,
    Code::DeadlineExceeded,
];
const OF_ITEMS: [Code; 4] = [
    Code::Unknown,
    Code::Internal,
    Code::ResourceExhausted,
    Code::DataLoss,
];
const OF_THE_HANDLER: [Code; 2] = [Code::PermissionDenied, Code::Unimplemented];

/// Under which ids items reach the handler.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// Those that the gateway gives them.
    Kept,
    /// Others with each attempt.
    New,
}

/// A handler that hands calls on to another one, or not.
pub struct Faults {
    handler: HandlerClient<Channel>,
    ids: Ids,
    /// How the gateway gets here.
    line: OnceLock<Line>,
    state: Mutex<State>,
    /// How many calls the handler has answered.
    forwarded: watch::Sender<usize>,
    /// Calls that the handler has, whoever waits for them.
    working: TaskTracker,
}

struct State {
    rng: StdRng,
    /// Nothing fails any more.
    calm: bool,
    calls: usize,
    counts: BTreeMap<&'static str, usize>,
    held: Vec<Held>,
    /// What late calls were told other than OK.
    late_refusals: Vec<HandleResult>,
    /// An item that fails alone twice is to blame by the contract, so none does.
    failed_alone: HashSet<String>,
    /// Items of earlier calls.
    others: VecDeque<String>,
}

/// A call that comes late: the caller has given it up.
struct Held {
    request: HandleRequest,
    /// Whether the handler got its first item by another call.
    overtaken: bool,
    /// How many more calls go before it after that.
    behind: usize,
}

#[derive(Clone, Copy)]
enum Fault {
    None,
    Before(Code),
    After(Code),
    /// The caller is told, or waits in vain.
    Late {
        told: bool,
    },
    CutBefore,
    CutAfter,
}

impl Faults {
    pub fn new(seed: u64, handler: HandlerClient<Channel>, ids: Ids) -> Arc<Self> {
        Arc::new(Self {
            handler: handler.max_decoding_message_size(usize::MAX),
            ids,
            line: OnceLock::new(),
            state: Mutex::new(State {
                rng: StdRng::seed_from_u64(seed),
                calm: false,
                calls: 0,
                counts: BTreeMap::new(),
                held: Vec::new(),
                late_refusals: Vec::new(),
                failed_alone: HashSet::new(),
                others: VecDeque::new(),
            }),
            forwarded: watch::Sender::new(0),
            working: TaskTracker::new(),
        })
    }

    pub fn service(self: &Arc<Self>) -> Service {
        let faults = self.clone();
        Service::new(move |request| Box::pin(faults.clone().call(request))).forgetful()
    }

    pub fn cut_with(&self, line: Line) {
        assert!(self.line.set(line).is_ok(), "there is one line");
    }

    /// Waits until the handler has answered so many calls.
    pub async fn forwarded(&self, calls: usize) {
        let mut forwarded = self.forwarded.subscribe();
        let enough = forwarded.wait_for(|forwarded| *forwarded >= calls);
        enough.await.expect("it is told while this is here");
    }

    /// From now on nothing fails; what is late has come when this returns.
    pub async fn end(self: &Arc<Self>) {
        let held = {
            let mut state = self.state.lock();
            state.calm = true;
            std::mem::take(&mut state.held)
        };
        for late in held {
            self.come_late(late.request);
        }
        self.working.close();
        self.working.wait().await;
        self.working.reopen();
        if self.ids == Ids::Kept {
            let refused = &self.state.lock().late_refusals;
            assert!(refused.is_empty(), "they were done before: {refused:?}");
        }
    }

    /// What went wrong how often.
    pub fn told(&self) -> String {
        let state = self.state.lock();
        let counts = state
            .counts
            .iter()
            .map(|(what, count)| format!("{count} {what}"));
        format!(
            "{} calls, of them {}",
            state.calls,
            counts.collect::<Vec<_>>().join(", ")
        )
    }

    async fn call(self: Arc<Self>, request: HandleRequest) -> Result<HandleResponse, Status> {
        let fault = self.state.lock().draw(&request);
        match fault {
            Fault::None => {
                let answer = self.forward(request).await?;
                Ok(self.state.lock().disturb(answer))
            }
            Fault::Before(code) => Err(Status::new(code, "before the work")),
            Fault::After(code) => {
                self.forward(request).await?;
                Err(Status::new(code, "after the work"))
            }
            Fault::Late { told } => {
                self.state.lock().hold(request);
                if told {
                    return Err(Status::deadline_exceeded("it will come late"));
                }
                std::future::pending().await
            }
            Fault::CutBefore => self.cut().await,
            Fault::CutAfter => {
                self.forward(request).await?;
                self.cut().await
            }
        }
    }

    /// This call is on the line as well, so nobody waits for it any more.
    async fn cut(&self) -> Result<HandleResponse, Status> {
        self.line.get().expect("it is there before calls are").cut();
        std::future::pending().await
    }

    /// The handler does all of it, whatever becomes of who waits for that.
    async fn forward(self: &Arc<Self>, request: HandleRequest) -> Result<HandleResponse, Status> {
        let this = self.clone();
        let work = self.working.spawn(async move {
            let items: HashSet<_> = request.items.iter().map(|item| item.id.clone()).collect();
            let answer = this.ask(request).await?;
            this.forwarded.send_modify(|forwarded| *forwarded += 1);
            let overdue = this.state.lock().overdue(&items);
            for late in overdue {
                this.come_late(late);
            }
            Ok(answer)
        });
        work.await.expect("it does not panic")
    }

    fn come_late(self: &Arc<Self>, request: HandleRequest) {
        let this = self.clone();
        self.working.spawn(async move {
            // It may come while the handler is being started again.
            let Ok(answer) = this.ask(request).await else {
                return;
            };
            let mut state = this.state.lock();
            state.count("came late, after what took their place");
            let not_ok = |result: &HandleResult| result.outcome() != Outcome::Ok;
            state
                .late_refusals
                .extend(answer.results.into_iter().filter(not_ok));
        });
    }

    async fn ask(&self, mut request: HandleRequest) -> Result<HandleResponse, Status> {
        let mut given = HashMap::new();
        if self.ids == Ids::New {
            for item in &mut request.items {
                let new = format!("{:032x}", rand::random::<u128>());
                given.insert(new.clone(), std::mem::replace(&mut item.id, new));
            }
        }
        let answer = self.handler.clone().handle(request).await;
        // A connection that breaks has no status of its own.
        let answer = answer.map_err(|status| Status::unavailable(status.message()))?;
        let mut answer = answer.into_inner();
        for result in &mut answer.results {
            if let Some(id) = given.remove(&result.id) {
                result.id = id;
            }
        }
        Ok(answer)
    }
}

impl State {
    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn draw(&mut self, request: &HandleRequest) -> Fault {
        self.calls += 1;
        let failing = match &*request.items {
            [alone] if self.failed_alone.contains(&alone.id) => 0.0,
            [_] => FAILING_ALONE,
            _ => FAILING,
        };
        if self.calm || !self.rng.random_bool(failing) {
            return Fault::None;
        }
        if let [alone] = &*request.items {
            self.failed_alone.insert(alone.id.clone());
        }
        let (fault, what) = match self.rng.random_range(0..100) {
            0..32 => (Fault::Before(self.code(request)), "failed before the work"),
            32..64 => (Fault::After(self.code(request)), "failed after it"),
            64..79 => (Fault::Late { told: true }, "ended by DEADLINE_EXCEEDED"),
            79..84 => (Fault::Late { told: false }, "timed out"),
            84..92 => (Fault::CutBefore, "cut off before the work"),
            _ => (Fault::CutAfter, "cut off after it"),
        };
        self.count(what);
        fault
    }

    fn code(&mut self, request: &HandleRequest) -> Code {
        let codes = match self.rng.random_range(0..100) {
            0..2 => &OF_THE_HANDLER[..],
            2..25 if request.items.len() >= MANY => &OF_ITEMS,
            _ => &PASSING,
        };
        *codes.choose(&mut self.rng).expect("there are some")
    }

    fn hold(&mut self, request: HandleRequest) {
        let behind = self.rng.random_range(0..4);
        self.held.push(Held {
            request,
            overtaken: false,
            behind,
        });
    }

    /// Late calls whose time has come, now that the handler has done these items.
    fn overdue(&mut self, items: &HashSet<String>) -> Vec<HandleRequest> {
        let mut overdue = Vec::new();
        self.held.retain_mut(|held| {
            held.overtaken |= items.contains(&held.request.items[0].id);
            if !held.overtaken {
                return true;
            }
            if held.behind > 0 {
                held.behind -= 1;
                return true;
            }
            overdue.push(std::mem::take(&mut held.request));
            false
        });
        overdue
    }

    /// An answer in another order, without some results, with some that nobody asked for, and with some twice.
    fn disturb(&mut self, mut answer: HandleResponse) -> HandleResponse {
        if self.calm {
            return answer;
        }
        let results = &mut answer.results;
        let asked: HashSet<_> = results.iter().map(|result| result.id.clone()).collect();
        if self.rng.random_bool(0.2) {
            self.count("answered in part");
            if self.rng.random_bool(0.5) {
                results.truncate(self.rng.random_range(0..results.len()));
            } else {
                results.retain(|_| self.rng.random_bool(0.8));
            }
        }
        if self.rng.random_bool(0.5) {
            self.count("answered in another order");
            results.shuffle(&mut self.rng);
        }
        // What counts comes first.
        let refusal = |id: &String| HandleResult {
            id: id.clone(),
            outcome: Outcome::Rejected.into(),
            ..HandleResult::default()
        };
        if self.rng.random_bool(0.3) {
            self.count("answered twice and otherwise");
            let doubled = results.choose_multiple(&mut self.rng, 3);
            let doubled: Vec<_> = doubled.map(|result| refusal(&result.id)).collect();
            results.extend(doubled);
        }
        if self.rng.random_bool(0.3) {
            self.count("answered with items of other calls");
            let unknown = format!("{:032x}", self.rng.random::<u128>());
            let others = self.others.iter().filter(|id| !asked.contains(*id));
            let strangers: Vec<_> = others.chain([&unknown]).map(refusal).collect();
            drop(results.splice(..0, strangers));
        }
        self.others.extend(asked.into_iter().take(2));
        let old = self.others.len().saturating_sub(OTHERS);
        self.others.drain(..old);
        answer
    }
}
