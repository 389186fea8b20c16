//! Handlers that are stopped or dead, beside one that works.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use rustix::process::Signal;
use tidegate_client::Client;
use tidegate_client::proto::{BatchRequest, Outcome, Packet, Reason};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::one;
use super::patient::clients;
use crate::support::{Backend, Conduct, Gateway, gateway, median, quantile, until_final};

const PATIENCE: Duration = Duration::from_secs(60);

/// Within which a process that was stopped must be noticed.
const NOTICED: Duration = Duration::from_secs(10);

/// How much the live one's p99 may be above what it is beside others that work.
const RATIO: f64 = 1.2;

/// Rounds are measured until their median says that it holds, and as many at most: a busy machine has its own ideas.
const LEAST: usize = 5;
const MOST: usize = 25;
const PERIOD: Duration = Duration::from_millis(1_500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_4_7_a_stopped_and_a_dead_handler_cost_the_live_one_nothing() {
    let live = Backend::start(Conduct::default()).await;
    let stopped = Backend::start(Conduct::default()).await;
    let mut dead = Backend::start(Conduct::default()).await;
    let gateway = gateway_before(&live, &stopped, &dead).await;
    let callers = clients(&gateway, 4).await;
    let loads = [
        Load::on("stopped", &gateway).await,
        Load::on("dead", &gateway).await,
    ];
    let pair = pair(&gateway).await;
    let (mut ratios, mut noticed) = (Vec::new(), None);
    while ratios.len() < MOST {
        let well = measure(&callers, PERIOD).await;
        let begun = Instant::now();
        stopped.signal(Signal::STOP);
        dead.kill().await;
        loads.iter().for_each(Load::forget);
        let ill = match noticed {
            Some(_) => measure(&callers, PERIOD).await,
            // Long enough to see that nothing changes when it is noticed.
            None => {
                let (ill, after) = tokio::join!(measure(&callers, NOTICED), notice(&pair, begun));
                noticed = Some((after, loads.each_ref().map(|load| load.refused(begun))));
                ill
            }
        };
        stopped.signal(Signal::CONT);
        dead.begin().await;
        for load in &loads {
            load.is_served().await;
        }
        let [well, ill] = [well, ill].map(|times| quantile(&times, 0.99).as_secs_f64());
        println!(
            "p99 {:.2} ms beside others that work, {:.2} ms beside those",
            well * 1e3,
            ill * 1e3
        );
        ratios.push(ill / well);
        if ratios.len() >= LEAST && median(&ratios) <= RATIO {
            break;
        }
    }
    let ratio = median(&ratios);
    assert!(ratio <= RATIO, "{ratio:.2}: {ratios:.2?}");
    let (after, [of_stopped, of_dead]) = noticed.unwrap();
    assert!(after < NOTICED, "noticed after {after:?}");
    println!(
        "SHOWS 4.7 one handler in SIGSTOP and one dead, each under load, beside a live one: its p99 is {ratio:.2} times that beside \
         two that work (median of {} paired rounds); a call to the stopped address fails, and the address is out, after {:.1} s; \
         new packets are refused from {of_stopped} (stopped) and {of_dead} (dead) on",
        ratios.len(),
        after.as_secs_f64(),
    );
}

/// Quick to look again whether a handler is back. The pair is the live and the stopped one as two addresses of one handler,
/// whose calls may take an hour: only the connection can tell.
async fn gateway_before(live: &Backend, stopped: &Backend, dead: &Backend) -> Gateway {
    let mut config = String::new();
    for (name, addresses, more) in [
        ("live", vec![live.uri()], ""),
        (
            "stopped",
            vec![stopped.uri()],
            "retry = { max = \"500ms\" }",
        ),
        ("dead", vec![dead.uri()], "retry = { max = \"500ms\" }"),
        (
            "pair",
            vec![stopped.uri(), live.uri()],
            "durable = false\ncall_timeout = \"1h\"",
        ),
    ] {
        config +=
            &format!("[handlers.{name}]\nkind = \"grpc\"\naddresses = {addresses:?}\n{more}\n");
    }
    gateway().config(&config).start().await
}

/// Has called both addresses of the pair.
async fn pair(gateway: &Gateway) -> Client {
    let client = Client::builder(gateway.uri()).call_timeout(PATIENCE);
    let client = client.connect().await.unwrap();
    for _ in 0..10 {
        let result = one(&client, Packet::create("pair").text("x")).await;
        assert_eq!(result.outcome(), Outcome::Ok, "{result:?}");
    }
    client
}

/// Calls the pair until one of its addresses is noticed, and afterwards, when the other has all calls. Gives when it was.
async fn notice(pair: &Client, begun: Instant) -> Duration {
    let ask = || one(pair, Packet::create("pair").text("x"));
    while ask().await.outcome() == Outcome::Ok {}
    let noticed = begun.elapsed();
    for _ in 0..50 {
        let result = ask().await;
        assert_eq!(result.outcome(), Outcome::Ok, "{result:?}");
    }
    noticed
}

/// How long the live one's packets take, for so long.
async fn measure(callers: &[Client], period: Duration) -> Vec<Duration> {
    const EVERY: Duration = Duration::from_millis(5);
    let end = Instant::now() + period;
    let calling = callers.iter().map(|client| async move {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut times = Vec::new();
        while ticks.tick().await < end {
            let started = Instant::now();
            let result = one(client, Packet::create("live").text("x")).await;
            assert_eq!(result.outcome(), Outcome::Ok, "{result:?}");
            times.push(started.elapsed());
        }
        times
    });
    join_all(calling).await.concat()
}

/// What others send to a handler, whatever becomes of it, until this is dropped: more in ten seconds than a lane holds.
struct Load {
    handler: &'static str,
    client: Client,
    /// When the first packet was refused, and why.
    refused: Arc<Mutex<Option<(Instant, Reason)>>>,
    sending: Vec<AbortOnDropHandle<()>>,
}

impl Load {
    async fn on(handler: &'static str, gateway: &Gateway) -> Self {
        const EVERY: Duration = Duration::from_millis(40);
        const TOGETHER: usize = 20;
        let refused = Arc::<Mutex<Option<(Instant, Reason)>>>::default();
        let sending = clients(gateway, 4).await.into_iter().enumerate();
        let sending = sending.map(|(at, client)| {
            let refused = refused.clone();
            AbortOnDropHandle::new(tokio::spawn(async move {
                let mut ticks = interval(EVERY);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    ticks.tick().await;
                    let packets = (0..TOGETHER).map(|_| Packet::create(handler).text("x"));
                    let request = BatchRequest::of(packets).client_id(at.to_string());
                    let request = request.until_accepted();
                    let results = client.sync(request).await.unwrap().results;
                    let retry = |outcome| outcome == Outcome::Retry;
                    if let Some(first) = results.iter().find(|result| retry(result.outcome())) {
                        let now = (Instant::now(), first.reason());
                        refused.lock().get_or_insert(now);
                    }
                }
            }))
        });
        Self {
            handler,
            client: gateway.client().await,
            sending: sending.collect(),
            refused,
        }
    }

    fn forget(&self) {
        *self.refused.lock() = None;
    }

    fn refused(&self, since: Instant) -> String {
        match *self.refused.lock() {
            Some((when, reason)) => {
                let after = when.saturating_duration_since(since).as_secs_f64();
                format!("{after:.1} s, {}", reason.as_str_name())
            }
            None => "never".to_owned(),
        }
    }

    /// Waits until the handler has answered one that comes now, after those that the first client sent before it.
    async fn is_served(&self) {
        assert!(self.sending.iter().all(|sending| !sending.is_finished()));
        let packet = Packet::create(self.handler)
            .text("x")
            .req_id(format!("{}", rand::random::<u64>()));
        let request = BatchRequest::of([packet]).client_id("0");
        let served = timeout(PATIENCE, until_final(&self.client, request)).await;
        assert_eq!(served.unwrap()[0].outcome(), Outcome::Ok);
    }
}
