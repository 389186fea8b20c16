use std::sync::atomic::Ordering;
use std::time::Duration;

use super::*;
use crate::app::App;
use crate::handler::{Drive, HandlerSettings};

const FILE: &str = r#"
[server]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[handlers.orders]
kind = "grpc"
addresses = ["http://127.0.0.1:1"]
[handlers.bills]
kind = "grpc"
addresses = ["http://127.0.0.1:1"]
publish = ["bills.>"]
[topics."chat.>"]
keep.age = "1d"
"#;

fn config(text: &str, data: &tempfile::TempDir) -> Config {
    let mut config = Config::parse(text, std::iter::empty()).unwrap();
    config.store.path = data.path().to_owned();
    config
}

/// What is called of a handler that is.
fn called(settings: &HandlerSettings) -> *const () {
    match &settings.drive {
        Drive::Called(handler) => Arc::as_ptr(handler).cast(),
        Drive::Planned(planner) => Arc::as_ptr(planner).cast(),
    }
}

#[tokio::test]
async fn what_is_kept_goes_by_the_rules_that_are_taken_over() {
    let data = tempfile::tempdir().unwrap();
    let mut app = App::build(config(FILE, &data), Vec::new()).await.unwrap();
    let broker = app.gateway.broker.clone();
    let keeping = app.reload.messages.as_ref().unwrap().0.clone();
    let kept = |topic: &str| {
        let keep = keeping.get();
        let rule = keep
            .topics
            .iter()
            .find(|rule| rule.pattern.as_str() == topic);
        rule.map(|rule| rule.keep.age)
    };
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    assert_eq!(kept("chat.>"), Some(DAY));
    let results = keeping.get().result_bytes;

    // Nothing of it counts where one thing cannot.
    let other = FILE.replace("\"1d\"", "\"2d\"");
    let refused = format!("{other}[store]\nresults = \"2GiB\"");
    let refused = app.reload.take_over(config(&refused, &data), &broker).await;
    assert_eq!(refused.unwrap_err().0.len(), 1);
    assert_eq!(kept("chat.>"), Some(DAY));

    let more = format!("{other}[topics.\"a\"]\nkeep.last = 1\n[store]\nmessages = \"3MiB\"");
    let changes = app.reload.take_over(config(&more, &data), &broker).await;
    assert_eq!(changes.unwrap().len(), 4);
    assert_eq!((kept("chat.>"), kept("a")), (Some(2 * DAY), Some(7 * DAY)));
    assert_eq!(kept("@user.>"), Some(30 * DAY), "inboxes have their own");
    let keep = keeping.get();
    assert_eq!((keep.messages.bytes, keep.result_bytes), (3 << 20, results));
}

#[tokio::test]
async fn only_what_is_called_otherwise_gets_other_connections() {
    let data = tempfile::tempdir().unwrap();
    let app = App::build(config(FILE, &data), Vec::new()).await.unwrap();
    let mut reload = app.reload;
    let mut others = |text: &str| {
        let new = config(text, &data);
        handlers::others(&reload.config, &new, &reload.registry, &mut reload.dropped).unwrap()
    };
    let names = |others: &[HandlerSettings]| -> Vec<String> {
        others.iter().map(|other| other.name.to_string()).collect()
    };
    let registry = app.gateway.registry.clone();
    let present = |name: &str| called(&registry.resolve(name).unwrap());
    assert_eq!(names(&others(FILE)), [""; 0]);

    let bounds = FILE.replace("[topics", "batch.calls = 1\n[topics");
    let bills = others(&bounds);
    assert_eq!(names(&bills), ["bills"]);
    assert_eq!(
        (bills[0].batch.calls, called(&bills[0])),
        (1, present("bills"))
    );

    let address = FILE.replacen("127.0.0.1:1", "127.0.0.1:2", 1);
    let orders = others(&address);
    assert_eq!(names(&orders), ["orders"]);
    assert_ne!(called(&orders[0]), present("orders"));

    // What publishes knows which topics are kept nowhere.
    let ephemeral = FILE.replace("keep.age = \"1d\"", "ephemeral = true");
    let publish = others(&ephemeral);
    assert_eq!(names(&publish), ["bills", "topics"]);
    assert!(
        publish
            .iter()
            .all(|other| called(other) != present(other.name.as_str()))
    );
}

#[tokio::test]
async fn messages_that_were_dropped_are_counted_on() {
    let data = tempfile::tempdir().unwrap();
    let mut reload = App::build(config(FILE, &data), Vec::new())
        .await
        .unwrap()
        .reload;
    let orders = reload.config.handlers.as_ref().unwrap()[1].name.clone();
    reload.dropped[&orders].fetch_add(3, Ordering::Relaxed);
    let new = config(&FILE.replacen("127.0.0.1:1", "127.0.0.1:2", 1), &data);
    let others = handlers::others(&reload.config, &new, &reload.registry, &mut reload.dropped);
    let Drive::Called(handler) = &others.unwrap()[0].drive else {
        panic!("it is called");
    };
    assert_eq!((orders.as_str(), handler.dropped_messages()), ("orders", 3));
}
