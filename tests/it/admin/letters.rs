//! Dead letters, through the command line.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tidegate_client::proto::file::Source;
use tidegate_client::proto::{BatchRequest, File, Packet};
use tokio::time::timeout;
use tonic::Status;

use super::{PATIENCE, client, code, done, json, typed};
use crate::support::{Process, Service, answers, echoed, said};

/// One that fails with what begins with `poison`, until it is cured.
fn service(cured: &Arc<AtomicBool>) -> Service {
    let cured = cured.clone();
    Service::answering(move |request| {
        let mut items = request.items.iter();
        let poisoned = items.any(|item| item.data[0].starts_with(b"poison"));
        match poisoned && !cured.load(Ordering::SeqCst) {
            true => Err(Status::internal("this one is too much")),
            false => Ok(answers(request.items.iter().map(echoed))),
        }
    })
}

/// One whose `orders` are this service's.
async fn gateway(data: &Path, service: &Service) -> Process {
    let addresses = format!("[\"{}\"]", service.uri());
    let orders = [
        ("TIDEGATE_HANDLERS__ORDERS__KIND", "grpc"),
        ("TIDEGATE_HANDLERS__ORDERS__ADDRESSES", addresses.as_str()),
    ];
    Process::on(data, &orders).await
}

/// The dead letters of `orders`, once there are so many.
pub(super) async fn dead(data: &Path, count: usize) -> Vec<Value> {
    let looking = async {
        loop {
            let listed = json(&["dead-letters", "list", "--handler", "orders"], data).await;
            let letters = listed["letters"].as_array().unwrap().clone();
            if letters.len() == count {
                return letters;
            }
        }
    };
    timeout(PATIENCE, looking).await.expect("they die")
}

#[tokio::test]
async fn shows_4_10_dead_letters_through_the_command_line() {
    let data = tempfile::tempdir().unwrap();
    let cured = Arc::new(AtomicBool::new(false));
    let service = service(&cured);
    let running = service.begin();
    let gateway = gateway(data.path(), &service).await;
    let client = client(&gateway).await;
    let packets = (1..=12).map(|seq| {
        let text = match seq % 4 {
            0 => format!("poison {seq}"),
            _ => format!("order {seq}"),
        };
        Packet::create("orders").text(text).seq(seq)
    });
    let sent = BatchRequest::of(packets)
        .client_id("phone")
        .until_accepted();
    client.sync(sent).await.unwrap();
    let letters = dead(data.path(), 3).await;
    let seqs: Vec<_> = letters.iter().map(|letter| &letter["seq"]).collect();
    assert_eq!(seqs, [4, 8, 12]);
    assert_eq!(letters[0]["client_id"], "phone");
    assert_eq!(letters[0]["cause"], "poison");
    assert_eq!(letters[0]["message"], "Internal: this one is too much");
    assert_eq!(letters[0]["text"], json!([]), "it was not asked for");
    let table = done(&["dead-letters", "list", "--content"], data.path()).await;
    assert!(table.contains(": poison 8\n"), "{table}");

    cured.store(true, Ordering::SeqCst);
    let id = |at: usize| letters[at]["id"].to_string();
    let before = service.items().len();
    let retried = done(&["dead-letters", "retry", &id(0)], data.path()).await;
    assert_eq!(retried, "1 dead letter is tried again\n");
    let left = dead(data.path(), 2).await;
    assert_eq!(left[0]["id"], letters[1]["id"]);
    let applied = async {
        while service.items().len() == before {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, applied)
        .await
        .expect("it is called again");
    assert_eq!(said(&service.items()[before]), "poison 4");
    let again = typed(&["dead-letters", "retry", &id(0)], data.path()).await;
    assert_eq!(code(&again), 1, "it is no dead letter any more");

    let asked = typed(&["dead-letters", "discard", &id(1)], data.path()).await;
    assert_eq!(code(&asked), 64, "nobody can be asked");
    let discarded = ["dead-letters", "discard", &id(1), "--yes"];
    let discarded = done(&discarded, data.path()).await;
    assert_eq!(discarded, "1 dead letter is discarded\n");
    dead(data.path(), 1).await;
    let all = done(&["dead-letters", "retry", "--all", "orders"], data.path()).await;
    assert_eq!(all, "1 dead letter is tried again\n");
    dead(data.path(), 0).await;
    assert_eq!(
        done(&["dead-letters"], data.path()).await,
        "no dead letters\n"
    );
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await.0, Some(0));
    let calls = service.items();
    let eighth = calls[before..]
        .iter()
        .filter(|item| said(item) == "poison 8");
    assert_eq!(eighth.count(), 0, "it was discarded");
    drop(running);
    println!(
        "SHOWS 4.10 of 3 dead letters `tidegate dead-letters` lists all, has 2 applied by `retry`, and gives one up by `discard`"
    );
}

#[tokio::test]
async fn a_dead_letter_is_told_with_everything_that_its_packet_says() {
    let data = tempfile::tempdir().unwrap();
    let service = service(&Arc::new(AtomicBool::new(false)));
    let running = service.begin();
    let gateway = gateway(data.path(), &service).await;
    let file = File {
        name: "cat.png".into(),
        content_type: "image/png".into(),
        size: 3,
        sha256: vec![7; 32].into(),
        source: Some(Source::Content((&b"\0\x01\xff"[..]).into())),
    };
    let mut poison = Packet::call("orders", "ship")
        .key("basket.7")
        .data(&b"poison \xff"[..])
        .data(&b"more"[..])
        .seq(2)
        .req_id("second")
        .at_version(5)
        .ttl(Duration::from_secs(3600))
        .header("lang", "de");
    poison.files.insert("photo".into(), file);
    let order = |seq| Packet::call("orders", "ship").text("an order").seq(seq);
    let sent = BatchRequest::of([order(1), poison, order(3), order(4)])
        .client_id("phone")
        .until_accepted();
    client(&gateway).await.sync(sent).await.unwrap();
    dead(data.path(), 1).await;
    let listed = json(&["dead-letters", "list", "--content"], data.path()).await;
    let mut letter = listed["letters"][0].clone();
    let of = letter.as_object_mut().unwrap();
    // What is not the packet's own, and another one each time.
    for name in ["id", "bytes", "attempts", "taken_at", "given_up_at"] {
        let value = of.remove(name).unwrap();
        assert!(value.is_u64() || value.is_string(), "{name}: {value}");
    }
    let expected = json!({
        "handler": "orders",
        "action": "call",
        "method": "ship",
        "key": "basket.7",
        "req_id": "second",
        "seq": 2,
        "unordered": false,
        "if_version": 5,
        "ttl": 3600.0,
        "page_size": 0,
        "page_token": "",
        "headers": { "lang": "de" },
        "text": [],
        "data": ["cG9pc29uIP8=", "bW9yZQ=="],
        "files": { "photo": {
            "name": "cat.png",
            "content_type": "image/png",
            "size": 3,
            "sha256": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",
            "content": "AAH/",
            "upload_id": null,
        } },
        "client_id": "phone",
        "subject": "",
        "tenant": "",
        "cause": "poison",
        "message": "Internal: this one is too much",
        "held": false,
    });
    assert_eq!(letter, expected, "{letter:#}");
    let table = done(&["dead-letters", "list", "--content"], data.path()).await;
    for line in [
        "poison \\xff",
        "more",
        "header lang: de",
        "file photo: \"cat.png\" image/png, 3 B",
    ] {
        assert!(table.contains(&format!(": {line}\n")), "{line}: {table}");
    }
    drop((gateway, running));
}
