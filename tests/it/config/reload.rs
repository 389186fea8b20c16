//! SIGHUP: a configuration is taken over as a whole, or not at all.

use std::fs::File;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tidegate_client::Client;
use tidegate_client::proto::{BatchRequest, Outcome, Packet};
use tokio::process::Command;
use tokio::time::timeout;

use super::Folder;
use crate::support::{ADMIN_TOKEN, Process, Service};

/// More than any of these needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn serve(folder: &Folder) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--config"]);
    command.arg(folder.file()).arg("--data").arg(folder.data());
    command.env("TIDEGATE_ADMIN__TOKEN", ADMIN_TOKEN);
    command.stderr(Stdio::piped());
    command
}

/// A file with a handler there, and topics that are kept or not.
fn file(service: &Service, max_packets: usize, ephemeral: bool, more: &str) -> String {
    let uri = service.uri();
    format!(
        "{more}\n[handlers.orders]\nkind = \"grpc\"\naddresses = [{uri:?}]\nbatch.max_packets = {max_packets}\n[topics.\"live.>\"]\nephemeral = {ephemeral}\n"
    )
}

/// A gateway, and what shows by which configuration it goes.
struct Running {
    folder: Folder,
    service: Service,
    process: Process,
    client: Client,
    published: usize,
}

impl Running {
    /// SIGHUP with this in the file: the line that its log has of it.
    async fn reloads(&mut self, text: &str, says: &str) {
        self.folder.write(text);
        self.process.signal(Signal::HUP);
        self.process.says(says).await;
    }

    /// By which bounds and rules it goes: the packets of a batch, and whether what is published is kept.
    async fn goes_by(&mut self, max_packets: usize, ephemeral: bool) {
        let before = self.service.seen().len();
        let packets = (0..12).map(|_| Packet::create("orders").text("x").unordered());
        let answer = self.client.sync(BatchRequest::of(packets)).await.unwrap();
        assert!(
            answer
                .results
                .iter()
                .all(|result| result.outcome() == Outcome::Ok)
        );
        let calls = self.service.seen().split_off(before);
        let largest = calls.iter().map(|call| call.items.len()).max();
        assert_eq!(largest, Some(max_packets));

        let topic = format!("live.t{}", self.published);
        self.published += 1;
        let publish = Packet::publish(&topic).text("hello");
        self.client.sync(publish).await.unwrap();
        let answer = self
            .client
            .sync(Packet::list("topics", &topic))
            .await
            .unwrap();
        assert_eq!(answer.results[0].messages.is_empty(), ephemeral);
    }
}

/// What was shown, in words.
pub(super) async fn all_or_nothing() -> String {
    let service = Service::echo();
    let _there = service.begin();
    let folder = Folder::with(&file(&service, 4, true, ""));
    let process = Process::spawn(&mut serve(&folder)).await;
    let client = Client::connect(process.uri()).await.unwrap();
    let mut running = Running {
        folder,
        service,
        process,
        client,
        published: 0,
    };
    timeout(PATIENCE, story(&mut running))
        .await
        .expect("it is done in time")
}

async fn story(running: &mut Running) -> String {
    running.goes_by(4, true).await;
    let (service, refused) = (
        running.service.uri(),
        [
            // The first can change; what it comes with cannot.
            (
                "[server]\ndrain = \"9s\"",
                "reload refused: server.drain needs a restart: it is \"30s\", and would be \"9s\"",
            ),
            (
                "[store]\nresults = \"2GiB\"",
                "reload refused: store.results needs a restart: it is \"1GiB\", and would be \"2GiB\"",
            ),
            (
                "[handlers.bills]",
                "reload refused: handlers.bills needs a restart: it is not there yet",
            ),
            (
                "[server]\nlisten = 7",
                "gate.toml:2:10: server.listen is 7: text in quotes would be right",
            ),
            ("[server", "gate.toml:1:8: not TOML: "),
        ],
    );
    for (more, says) in refused {
        let text = file(&running.service, 2, false, more);
        running.reloads(&text, says).await;
        running.goes_by(4, true).await;
    }
    std::fs::remove_file(running.folder.file()).unwrap();
    running.process.signal(Signal::HUP);
    running.process.says("reload refused: ").await;
    running.goes_by(4, true).await;

    let text = file(&running.service, 2, false, "[store]\nmessages = \"1GiB\"");
    running
        .reloads(
            &text,
            "reloaded: handlers.orders.batch.max_packets is 2, and was 4",
        )
        .await;
    running
        .process
        .says("reloaded: store.messages is \"1GiB\", and was not set")
        .await;
    running
        .process
        .says("reloaded: topics.\"live.>\".ephemeral is false, and was true")
        .await;
    running.goes_by(2, false).await;
    running
        .reloads(
            &text,
            "reloaded: the configuration says what it said before",
        )
        .await;

    let other = Service::echo();
    let _there = other.begin();
    let text = text.replace(&service, &other.uri());
    running
        .reloads(&text, "reloaded: handlers.orders.addresses is ")
        .await;
    let before = running.service.seen().len();
    running
        .client
        .sync(Packet::create("orders").text("x"))
        .await
        .unwrap();
    assert_eq!(
        (running.service.seen().len(), other.seen().len()),
        (before, 1)
    );
    format!(
        "{} reloads refused, each with its cause, and batches of 4 on topics that are not kept stayed so; then batches of 2, kept, at another address, in place",
        refused.len() + 1
    )
}

/// Whatever is reloaded meanwhile, each packet comes once, and each client's in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_reordered_by_reloads_under_load() {
    const CLIENTS: usize = 4;
    const RELOADS: usize = 20;
    const EACH: u64 = 10;

    let service = Service::echo();
    let _there = service.begin();
    let folder = Folder::with(&file(&service, 500, false, ""));
    let mut process = Process::spawn(&mut serve(&folder)).await;
    let reloaded = Arc::new(AtomicUsize::new(0));
    let sending = (0..CLIENTS).map(|client| {
        let (uri, reloaded) = (process.uri(), reloaded.clone());
        tokio::spawn(async move {
            let gateway = Client::connect(uri).await.unwrap();
            let mut sent = 0;
            while reloaded.load(Ordering::Relaxed) < RELOADS {
                let packets = (sent + 1..=sent + EACH).map(|seq| {
                    let packet = Packet::create("orders").text("x");
                    packet.seq(seq)
                });
                let request = BatchRequest::of(packets).client_id(format!("c{client}"));
                let answer = gateway.sync(request).await.unwrap();
                let mut results = answer.results.iter();
                assert!(results.all(|result| result.outcome() == Outcome::Ok));
                sent += EACH;
            }
            sent
        })
    });
    let sending: Vec<_> = sending.collect();
    let reloads = async {
        for round in 1..=RELOADS {
            // Other connections each time, too.
            let timeout = format!("call_timeout = \"{}s\"\n[topics", 10 + round % 2);
            let text = file(&service, 1 + round % 7, round % 2 == 0, "");
            folder.write(&text.replace("[topics", &timeout));
            process.signal(Signal::HUP);
            process
                .says("reloaded: handlers.orders.call_timeout is")
                .await;
            reloaded.store(round, Ordering::Relaxed);
        }
    };
    timeout(PATIENCE, reloads).await.expect("in time");
    let mut all = 0;
    for (client, sending) in sending.into_iter().enumerate() {
        let sent = timeout(PATIENCE, sending).await.expect("in time").unwrap();
        let client = format!("c{client}");
        let items = service.items();
        let of = items.iter().filter(|item| item.client_id == client);
        let seqs: Vec<u64> = of.map(|item| item.seq).collect();
        assert_eq!(seqs, (1..=sent).collect::<Vec<_>>(), "{client}");
        all += sent as usize;
    }
    assert_eq!(service.items().len(), all);
    assert!(all >= RELOADS, "{all} packets came meanwhile");
}

/// What comes then is SIGHUP as well, and nobody sees the gateway any more.
#[tokio::test]
async fn a_gateway_whose_terminal_is_closed_stops() {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new())
        .unwrap()
        .into_string()
        .unwrap();
    let side = File::options().read(true).write(true).open(name).unwrap();
    let folder = Folder::with("");
    let mut command = serve(&folder);
    let mut process = Process::spawn(command.stdin(side)).await;
    // Its own copy of the child's side.
    drop(command);
    process.signal(Signal::HUP);
    process
        .says("reloaded: the configuration says what it said before")
        .await;
    drop(terminal);
    process.signal(Signal::HUP);
    let (code, log) = process.ended().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("stopped"), "{log}");
}
