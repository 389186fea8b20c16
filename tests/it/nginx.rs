//! A gateway behind nginx, with the configuration that docs/proxies.md gives: gRPC and gRPC-Web over TLS on one port, calls and
//! streams, of which some hear nothing but heartbeats. `make soak` runs it for ten minutes, as long as a stream lasts; the other
//! tests until every silent stream had a heartbeat.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use prost::Message as _;
use tidegate_client::proto::event::Event as Kind;
use tidegate_client::proto::go_away::Cause;
use tidegate_client::proto::{
    BatchRequest, BatchResponse, Event, EventsRequest, InfoRequest, Outcome, Packet,
};
use tidegate_client::{Client, Code, EventStream};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::support::{Door, Nginx, Process, Wire, frame, frames, post};

/// More than any step needs on a busy machine, and than two heartbeats are apart.
const PATIENCE: Duration = Duration::from_secs(60);
/// A heartbeat comes after so much silence.
const SILENCE: Duration = Duration::from_secs(15);
/// In a call that publishes.
const PACKETS: u64 = 10;
/// From one such call to the next.
const PACE: Duration = Duration::from_millis(50);
/// A page of the very name that nginx has in the file.
const OWN_PAGE: &str = "origin: https://gateway.example.com";

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Grpc,
    /// gRPC-Web by hand, over HTTP/1.1.
    Web,
}

/// What a subscriber got.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// By topic: how many, which is also the number of the next.
    messages: BTreeMap<String, u64>,
    heartbeats: u64,
    /// Streams that it had after its first.
    again: u64,
}

struct Follower {
    seen: watch::Receiver<Seen>,
    task: JoinHandle<()>,
}

/// A gRPC stream, or a page's.
enum Events {
    Grpc(EventStream),
    Web {
        wire: Wire,
        /// What came of a frame that is not whole yet.
        body: Vec<u8>,
        whole: VecDeque<(u8, Vec<u8>)>,
    },
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_5_5_through_nginx_nothing_is_cut_lost_or_doubled() {
    let minutes = std::env::var("SOAK_MINUTES").ok();
    let minutes = minutes.map(|minutes| minutes.parse::<u64>().expect("a number of minutes"));
    let heartbeats = minutes.map_or(1, |minutes| minutes * 60 / SILENCE.as_secs());

    let data = tempfile::tempdir().unwrap();
    let mut setup = Process::with(data.path());
    if let Ok(program) = std::env::var("SOAK_PROGRAM") {
        setup = setup.program(program);
    }
    let gateway = setup.start().await;
    let mut nginx = Nginx::start(gateway.address()).await;
    let door = nginx.door();
    let (resting, client) = (connect(door).await, connect(door).await);
    resting.info().await.unwrap();

    let began = Instant::now();
    let (mut listeners, mut quiet) = (Vec::new(), Vec::new());
    for way in [Way::Grpc, Way::Web, Way::Grpc, Way::Web] {
        listeners.push(follow(door, &client, way, "chat.>").await);
        quiet.push(follow(door, &client, way, "quiet.>").await);
    }
    let (stop, stopped) = watch::channel(false);
    let writers = [Way::Grpc, Way::Web].map(|way| {
        let heard = listeners.iter().map(|listener| listener.seen.clone());
        let writer = Writer::new(door, way, heard.collect());
        tokio::spawn(writer.run(stopped.clone()))
    });
    for follower in &mut quiet {
        let enough = follower.seen.wait_for(|seen| seen.heartbeats >= heartbeats);
        enough.await.expect("its stream is not cut");
    }
    stop.send_replace(true);
    let mut calls = Vec::new();
    for writer in writers {
        calls.push(writer.await.unwrap());
    }
    let lasted = began.elapsed();
    // On this connection nothing was said all the while.
    resting.info().await.unwrap();

    nginx.reload().await;
    let after = Packet::publish("chat.after").text("0");
    applied(&connect(door).await.sync(after).await.unwrap());
    for listener in &mut listeners {
        let heard = listener.seen.wait_for(|seen| seen.next("chat.after") == 1);
        let heard = timeout(PATIENCE, heard).await;
        heard
            .expect("streams outlive a reload")
            .expect("it is not cut");
    }

    // Each stream is told to go, and ends as gRPC says.
    assert!(gateway.stop().await.success());
    let streams = listeners.len() + quiet.len();
    let (mut messages, mut silence, mut again) = (0, 0, 0);
    for follower in listeners.into_iter().chain(quiet) {
        let ended = timeout(PATIENCE, follower.task).await;
        ended.expect("it ends in time").unwrap();
        let seen = follower.seen.borrow();
        messages += seen.messages.values().sum::<u64>();
        silence += seen.heartbeats;
        again += seen.again;
    }
    let away = client.info().await.unwrap_err();
    assert_eq!(away.code(), Some(Code::Unavailable), "{away}");
    assert!(away.to_string().contains("cannot be reached"), "{away}");
    println!(
        "SHOWS 5.5 {:.0} s through nginx{}: {} calls by gRPC and {} by gRPC-Web; {messages} messages came once and in order on {streams} streams, with {silence} heartbeats in silence; {again} ended by age and went on from their cursors, 0 were cut, by a reload of nginx neither",
        lasted.as_secs_f64(),
        if minutes.is_some() {
            ""
        } else {
            " (ten minutes are `make soak`)"
        },
        calls[0],
        calls[1],
    );
}

#[tokio::test]
async fn behind_nginx_sizes_are_the_gateways_and_names_are_nginxs() {
    let gateway = Process::start().await;
    let nginx = Nginx::start(gateway.address()).await;
    let door = nginx.door();
    let client = connect(door).await;

    let large = |packets| {
        let packet = Packet::publish("large.one").data(vec![b'x'; 100_000]);
        BatchRequest::of(std::iter::repeat_n(packet, packets))
    };
    applied(&client.sync(large(41)).await.unwrap());
    let mut page = door.open("localhost").await.unwrap();
    let request = post(door.authority(), "Sync", &[OWN_PAGE], &frame(&large(41)));
    page.send(&request).await;
    applied(&page.answer().await.message());
    let refused = client.sync(large(42)).await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::ResourceExhausted), "{refused}");

    // Nobody is whom they say they are.
    let named = Client::builder(door.uri()).ca(Door::CA).subject("ann");
    let named = named.connect().await.unwrap();
    assert_eq!(named.info().await.unwrap().subject, "");
    let direct = Client::builder(gateway.uri()).subject("ann");
    let direct = direct.connect().await.unwrap();
    assert_eq!(direct.info().await.unwrap().subject, "ann");

    // A page of another name is told by the gateway; of the name of nginx, and one of this machine, are answered.
    let info = frame(&InfoRequest::default());
    for (origin, status) in [
        (OWN_PAGE, 200),
        ("origin: http://localhost:3000", 200),
        ("origin: https://example.com", 403),
    ] {
        let request = post(door.authority(), "Info", &[origin], &info);
        page.send(&request).await;
        let answer = page.answer().await;
        assert_eq!(answer.status, status, "{origin} {answer:?}");
    }
    // Who asks for another name is not let in, in the handshake or behind it.
    assert!(door.open("example.com").await.is_err());
    page.send(&post("example.com", "Info", &[], &info)).await;
    assert_eq!(page.answer().await.status, 421);

    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["info", "--gateway", &door.uri()]);
    let output = command.env("SSL_CERT_FILE", nginx.ca()).output();
    let output = output.await.unwrap();
    assert!(output.status.success(), "{output:?}");
}

async fn connect(door: Door) -> Client {
    let client = Client::builder(door.uri()).ca(Door::CA);
    client.connect().await.unwrap()
}

fn applied(response: &BatchResponse) {
    for result in &response.results {
        assert_eq!(result.outcome(), Outcome::Ok, "{result:?}");
    }
}

impl Seen {
    /// The number of the next message on a topic.
    fn next(&self, topic: &str) -> u64 {
        self.messages.get(topic).copied().unwrap_or_default()
    }

    fn take(&mut self, topic: String, text: &str) {
        let next = self.messages.entry(topic).or_default();
        assert_eq!(*text, next.to_string(), "once and in order");
        *next += 1;
    }
}

/// Listens when this returns, until the gateway stops.
async fn follow(door: Door, client: &Client, way: Way, topic: &'static str) -> Follower {
    let (seen, told) = watch::channel(Seen::default());
    let mut events = Events::open(door, client, way, EventsRequest::on([topic])).await;
    let client = client.clone();
    let task = tokio::spawn(async move {
        while let Some(cursor) = until_told_to_go(&mut events, &seen).await {
            let request = EventsRequest::on([topic]).from_cursor(cursor);
            events = Events::open(door, &client, way, request).await;
            seen.send_modify(|seen| seen.again += 1);
        }
    });
    Follower { seen: told, task }
}

/// One stream: where to go on, unless the gateway stops.
async fn until_told_to_go(events: &mut Events, seen: &watch::Sender<Seen>) -> Option<String> {
    loop {
        let event = timeout(PATIENCE, events.next()).await;
        let event = event.expect("heartbeats come").expect("nothing cuts it");
        match event.event.unwrap() {
            Kind::Heartbeat(_) => seen.send_modify(|seen| seen.heartbeats += 1),
            Kind::Message(message) => {
                seen.send_modify(|seen| seen.take(message.topic, &message.text));
            }
            Kind::GoAway(away) => {
                let more = timeout(PATIENCE, events.next()).await;
                assert_eq!(more.expect("it ends"), None);
                return match away.cause() {
                    Cause::Age => Some(event.cursor),
                    Cause::Draining => None,
                    other => panic!("{other:?}"),
                };
            }
            other => panic!("{other:?}"),
        }
    }
}

impl Events {
    /// It has said `Connected` when this returns.
    async fn open(door: Door, client: &Client, way: Way, request: EventsRequest) -> Self {
        let opening = async {
            let mut events = match way {
                Way::Grpc => Self::Grpc(client.events(request).await.unwrap()),
                Way::Web => Self::page(door, &request).await,
            };
            let first = events.next().await.expect("it begins");
            assert!(matches!(first.event, Some(Kind::Connected(_))), "{first:?}");
            events
        };
        timeout(PATIENCE, opening).await.expect("it begins in time")
    }

    async fn page(door: Door, request: &EventsRequest) -> Self {
        let mut wire = door.open("localhost").await.unwrap();
        let request = post(door.authority(), "Events", &[OWN_PAGE], &frame(request));
        wire.send(&request).await;
        assert_eq!(wire.head().await.status, 200);
        let (body, whole) = Default::default();
        Self::Web { wire, body, whole }
    }

    /// `None`: it ended well.
    async fn next(&mut self) -> Option<Event> {
        let (wire, body, whole) = match self {
            Self::Grpc(stream) => return stream.next().await.map(Result::unwrap),
            Self::Web { wire, body, whole } => (wire, body, whole),
        };
        loop {
            match whole.pop_front() {
                Some((0, event)) => return Some(Event::decode(&event[..]).unwrap()),
                Some((_, trailers)) => {
                    let trailers = String::from_utf8(trailers).unwrap();
                    assert!(trailers.contains("grpc-status:0"), "{trailers}");
                    assert_eq!(wire.chunk().await, b"", "nothing is behind the trailers");
                    return None;
                }
                None => {}
            }
            let chunk = wire.chunk().await;
            assert_ne!(chunk, b"", "it ended without trailers");
            body.extend(chunk);
            let (frames, rest) = frames(body);
            *body = body.split_off(body.len() - rest);
            whole.extend(frames);
        }
    }
}

/// Publishes numbers, and the next when everybody has heard of those before.
struct Writer {
    door: Door,
    way: Way,
    heard: Vec<watch::Receiver<Seen>>,
}

impl Writer {
    fn new(door: Door, way: Way, heard: Vec<watch::Receiver<Seen>>) -> Self {
        Self { door, way, heard }
    }

    /// How many calls it took.
    async fn run(mut self, stopped: watch::Receiver<bool>) -> u64 {
        let topic = match self.way {
            Way::Grpc => "chat.grpc",
            Way::Web => "chat.web",
        };
        let client = connect(self.door).await;
        let mut page = self.door.open("localhost").await.unwrap();
        let mut ticks = interval(PACE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut calls = 0;
        while !*stopped.borrow() {
            ticks.tick().await;
            let numbers = calls * PACKETS..(calls + 1) * PACKETS;
            let packets = numbers.map(|number| {
                let packet = Packet::publish(topic).text(number.to_string());
                packet.seq(number + 1)
            });
            let batch = BatchRequest::of(packets).client_id(topic);
            let response = match self.way {
                Way::Grpc => client.sync(batch).await.unwrap(),
                Way::Web => {
                    let host = self.door.authority();
                    page.send(&post(host, "Sync", &[OWN_PAGE], &frame(&batch)))
                        .await;
                    page.answer().await.message()
                }
            };
            assert_eq!(response.results.len() as u64, PACKETS);
            applied(&response);
            calls += 1;
            for listener in &mut self.heard {
                let all = listener.wait_for(|seen| seen.next(topic) == calls * PACKETS);
                let all = timeout(PATIENCE, all).await;
                all.expect("all come").expect("no stream is cut");
            }
        }
        calls
    }
}
