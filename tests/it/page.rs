//! The page of examples/todo in a real Chromium: one list in all tabs and profiles, whatever happens to the gateway.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate_client::Client;
use tidegate_client::proto::{BatchRequest, Outcome, Packet};
use tokio::time::{Instant, timeout};

use crate::support::{Browser, Process, Setup, Tab, serve_files};

/// More than the longest of these needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

const LIVE: &str = "document.querySelector('#status').dataset.state === 'live'";
const CUT: &str = "document.querySelector('#status').dataset.state === 'cut'";
const TEXTS: &str =
    "[...document.querySelectorAll('#todos .text')].map((text) => text.textContent)";
const PENDING: &str = "document.querySelectorAll('#todos .pending').length";
const REFUSED: &str = "document.querySelectorAll('#refused li').length";

/// What is added in one go just before the gateway is killed.
const BURST: usize = 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_5_4_one_list_in_tabs_and_profiles_through_stops_of_the_gateway() {
    let running = timeout(PATIENCE, one_list());
    running.await.expect("it is done in time");
}

async fn one_list() {
    let example = Example::new().await;
    let gateway = example.gateway.start().await;
    let (here, elsewhere) = (Browser::start(), Browser::start());
    let tabs = [
        here.open(&example.url).await,
        here.open(&example.url).await,
        elsewhere.open(&example.url).await,
    ];
    let [ann, bob, eve] = &tabs;
    for tab in &tabs {
        tab.until(LIVE).await;
        tab.eval("window.stayed = true").await;
    }
    let list = ["buy milk", "water the plants", "call the landlord"];
    for (at, tab) in tabs.iter().enumerate() {
        add(tab, list[at]).await;
        all_show(&tabs, &list[..=at]).await;
    }
    ann.picture("todo-light.png", 900, "light").await;
    ann.picture("todo-dark.png", 900, "dark").await;

    assert!(gateway.stop().await.success());
    for tab in &tabs {
        tab.until(CUT).await;
    }
    // The same item in two tabs: one of them is too late, and is told.
    let wanted = ["buy oat milk", "buy almond milk"];
    rename(ann, 1, wanted[0]).await;
    rename(bob, 1, wanted[1]).await;
    bob.click("#todos li:nth-child(2) [type=checkbox]").await;
    add(bob, "bake bread").await;
    eve.click("#todos li:nth-child(3) .delete").await;
    for (tab, pending) in [(ann, 1), (bob, 3), (eve, 1)] {
        assert_eq!(tab.eval(PENDING).await, pending);
    }
    bob.picture("todo-pending.png", 390, "light").await;

    let gateway = example.gateway.start().await;
    let back = Instant::now();
    for tab in &tabs {
        settled(tab).await;
    }
    let late = usize::from(ann.eval(REFUSED).await == 0);
    let first = wanted[1 - late];
    all_show(&tabs, &[first, "water the plants", "bake bread"]).await;
    let after_stop = back.elapsed();
    assert_eq!(tabs[late].eval(REFUSED).await, 1);
    assert_eq!(tabs[1 - late].eval(REFUSED).await, 0);
    let why = tabs[late].eval("document.querySelector('#refused .why').textContent");
    let there = format!("Meanwhile it became “{first}”.");
    assert_eq!(why.await, there);
    tabs[late].picture("todo-refused.png", 900, "dark").await;
    tabs[late].click("#refused .retry").await;
    let mut list = vec![wanted[late], "water the plants", "bake bread"];
    all_show(&tabs, &list).await;
    assert_eq!(tabs[late].eval(REFUSED).await, 0);

    // Whether what was just sent was taken is known to nobody.
    let items: Vec<_> = (1..=BURST).map(|number| format!("item {number}")).collect();
    let add_all = format!(
        "{{
            const text = document.querySelector('#text');
            for (const item of {}) {{
                text.value = item;
                text.form.requestSubmit();
            }}
        }}",
        json!(items)
    );
    ann.eval(&add_all).await;
    gateway.kill().await;
    let gateway = example.gateway.start().await;
    let back = Instant::now();
    list.extend(items.iter().map(String::as_str));
    all_show(&tabs, &list).await;
    let after_kill = back.elapsed();
    assert_eq!(example.texts().await, sorted(&list));
    for tab in &tabs {
        assert_eq!(tab.eval(REFUSED).await, 0);
        assert_eq!(tab.eval("window.stayed").await, true);
    }
    assert!(gateway.stop().await.success());
    println!(
        "SHOWS 5.4 two tabs and another profile of {} show one list without a reload: {:.1} s after the gateway is back from a stop, \
         {:.1} s after a kill amid {BURST} changes; of two changes of an item one is refused and tried again",
        here.version().await,
        after_stop.as_secs_f64(),
        after_kill.as_secs_f64(),
    );
}

#[tokio::test]
async fn shows_5_4_a_page_of_a_third_origin_is_refused() {
    let example = Example::new().await;
    let mut gateway = Process::on(&example.data(), &[]).await;
    let foreign = format!("http://evil.test:{}", example.port);
    let browser = Browser::with(&[
        "--host-resolver-rules=MAP evil.test 127.0.0.1".into(),
        // It has all that https would give it.
        format!("--unsafely-treat-insecure-origin-as-secure={foreign}"),
    ]);
    let page = format!("/?gateway={}", gateway.uri());
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("http://{host}:{}{page}", example.port);
        browser.open(&url).await.until(LIVE).await;
    }
    let client = Client::connect(gateway.uri()).await.unwrap();
    client
        .sync(Packet::create("todos").text("buy milk"))
        .await
        .unwrap();

    let tab = browser.open(&format!("{foreign}{page}")).await;
    let trouble = format!("{CUT} && document.querySelector('#trouble').innerText");
    let trouble = tab.until(&trouble).await;
    let advice = format!("may pages of {foreign} call it?");
    assert!(trouble.as_str().unwrap().contains(&advice), "{trouble}");
    add(&tab, "buy a bridge").await;
    let refused = format!("the page at \"{foreign}\" may not call this gateway");
    // A reading and a change.
    for _ in 0..2 {
        gateway.says(&refused).await;
    }
    assert_eq!(tab.eval(TEXTS).await, json!(["buy a bridge"]));
    assert_eq!(tab.eval(PENDING).await, 1);
    assert_eq!(texts(&gateway.uri()).await, ["buy milk"]);
    println!("SHOWS 5.4 the same page from {foreign} reads nothing and changes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_confirmed_outlives_its_page() {
    let example = Example::new().await;
    let gateway = example.gateway.start().await;
    let browser = Browser::start();
    let tab = browser.open(&example.url).await;
    tab.until(LIVE).await;
    add(&tab, "buy milk").await;
    settled(&tab).await;
    assert!(gateway.stop().await.success());
    tab.until(CUT).await;
    add(&tab, "water the plants").await;
    rename(&tab, 1, "buy oat milk").await;
    // Builds on a change that is not confirmed itself.
    rename(&tab, 2, "water the cactus").await;

    let kept = format!("{PENDING} === 2 && {TEXTS}.toSorted()");
    let expected = json!(["buy oat milk", "water the cactus"]);
    tab.go(&example.url).await;
    assert_eq!(tab.until(&kept).await, expected);
    // A page that lives keeps its own.
    let beside = browser.open(&example.url).await;
    beside.until(CUT).await;
    assert_eq!(beside.eval(PENDING).await, 0);
    tab.close().await;
    let tab = browser.open(&example.url).await;
    assert_eq!(tab.until(&kept).await, expected);

    let gateway = example.gateway.start().await;
    let expected = ["buy oat milk", "water the cactus"];
    all_show(&[tab, beside], &expected).await;
    assert_eq!(example.texts().await, expected);
    assert!(gateway.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_too_late_is_refused_with_all_that_builds_on_it() {
    let example = Example::new().await;
    let gateway = example.gateway.start().await;
    let browser = Browser::start();
    let tabs = [browser.open(&example.url).await];
    let tab = &tabs[0];
    tab.until(LIVE).await;
    for item in ["buy milk", "water the plants"] {
        add(tab, item).await;
        settled(tab).await;
    }
    assert!(gateway.stop().await.success());
    tab.until(CUT).await;
    for text in ["buy oat milk", "buy two oat milk"] {
        rename(tab, 1, text).await;
    }
    tab.click("#todos li:nth-child(2) .delete").await;

    // Where the page does not look for it.
    let gateway = Process::on(&example.data(), &[]).await;
    let client = Client::connect(gateway.uri()).await.unwrap();
    let listed = client.sync(Packet::list("todos", "")).await.unwrap();
    let keys = listed.results[0].records.iter().map(|record| &record.key);
    let [milk, plants] = keys.collect::<Vec<_>>()[..] else {
        panic!("two were added: {listed:?}");
    };
    let quicker = [
        Packet::update("todos", milk).text("buy almond milk"),
        Packet::delete("todos", plants),
    ];
    let done = client.sync(BatchRequest::of(quicker)).await.unwrap();
    assert!(
        done.results
            .iter()
            .all(|result| result.outcome() == Outcome::Ok)
    );
    drop(client);
    assert!(gateway.stop().await.success());

    let gateway = example.gateway.start().await;
    all_show(&tabs, &["buy almond milk"]).await;
    // Who deletes what is gone has nothing to be told.
    assert_eq!(tab.eval(REFUSED).await, 2);
    assert_eq!(example.texts().await, ["buy almond milk"]);
    for left in [1, 0] {
        tab.click("#refused .dismiss").await;
        tab.until(&format!("{REFUSED} === {left}")).await;
    }
    assert!(gateway.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_what_is_gone_is_made_anew() {
    let example = Example::new().await;
    let gateway = example.gateway.start().await;
    let browser = Browser::start();
    let tabs = [browser.open(&example.url).await];
    tabs[0].until(LIVE).await;
    for item in ["buy milk", "water the plants"] {
        add(&tabs[0], item).await;
        settled(&tabs[0]).await;
    }
    assert!(gateway.stop().await.success());
    std::fs::remove_dir_all(example.data()).unwrap();
    let gateway = example.gateway.start().await;
    all_show(&tabs, &[]).await;
    // The gateway does not know how far this page was.
    add(&tabs[0], "bake bread").await;
    all_show(&tabs, &["bake bread"]).await;
    assert_eq!(example.texts().await, ["bake bread"]);
    assert!(gateway.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_falls_silent_is_noticed() {
    let example = Example::new().await;
    let gateway = example.gateway.start().await;
    let browser = Browser::start();
    let tab = browser.open_in_haste(&example.url, 10).await;
    tab.until(LIVE).await;
    // Its connections stay open.
    gateway.signal(Signal::STOP);
    tab.until(CUT).await;
    add(&tab, "buy milk").await;
    gateway.signal(Signal::CONT);
    all_show(&[tab], &["buy milk"]).await;
    assert!(gateway.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hidden_tabs_take_no_connection_from_the_one_that_is_seen() {
    let example = Example::new().await;
    let gateway = example.gateway.start().await;
    let browser = Browser::start();
    let first = browser.open_in_front(&example.url).await;
    first.until(LIVE).await;
    // Of HTTP/1.1 connections to one host a browser has six.
    for item in 1..=8 {
        let tab = browser.open_in_front(&example.url).await;
        tab.until(LIVE).await;
        add(&tab, &format!("item {item}")).await;
        settled(&tab).await;
    }
    first.bring_to_front().await;
    first.until(&format!("{TEXTS}.length === 8")).await;
    assert!(gateway.stop().await.success());
}

/// The page, from an origin of its own, and the gateway that it calls.
struct Example {
    directory: TempDir,
    gateway: Setup,
    port: u16,
    url: String,
}

impl Example {
    async fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let gateway = Process::with(&directory.path().join("data"));
        let port = serve_files(built()).await.port();
        let url = format!("http://127.0.0.1:{port}/?gateway={}", gateway.uri());
        Self {
            directory,
            gateway,
            port,
            url,
        }
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    async fn texts(&self) -> Vec<String> {
        texts(&self.gateway.uri()).await
    }
}

/// Built by the Vite that `make tools` installed beside it.
fn built() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let directory = BUILT.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/todo");
        let vite = source.join("node_modules/.bin/vite");
        let missing = format!("{} is not there: make tools installs it", vite.display());
        assert!(vite.exists(), "{missing}");
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("todo");
        let mut build = std::process::Command::new(vite);
        build.args(["build", "--logLevel", "warn", "--emptyOutDir", "--outDir"]);
        let built = build.arg(&directory).current_dir(source).status();
        let built = built.unwrap();
        assert!(built.success(), "vite build: {built}");
        directory
    });
    directory.clone()
}

/// By keyboard.
async fn add(tab: &Tab, text: &str) {
    tab.eval("document.querySelector('#text').focus()").await;
    tab.write(text).await;
    tab.press_enter().await;
}

/// By keyboard.
async fn rename(tab: &Tab, number: usize, text: &str) {
    let focus = format!("document.querySelector('#todos li:nth-child({number}) .edit').focus()");
    tab.eval(&focus).await;
    tab.press_enter().await;
    tab.write(text).await;
    tab.press_enter().await;
}

/// Everything that was changed here is confirmed or refused.
async fn settled(tab: &Tab) {
    tab.until(&format!("{LIVE} && {PENDING} === 0")).await;
}

/// This list, and nothing that is not confirmed.
async fn all_show(tabs: &[Tab], list: &[&str]) {
    for tab in tabs {
        let shown = format!("JSON.stringify({TEXTS}) === {:?}", json!(list).to_string());
        tab.until(&format!("{LIVE} && {PENDING} === 0 && {shown}"))
            .await;
    }
}

/// What the gateway has.
async fn texts(uri: &str) -> Vec<String> {
    let client = Client::connect(uri).await.unwrap();
    let answer = client.sync(Packet::list("todos", "")).await.unwrap();
    let records = &answer.results[0].records;
    let texts = records.iter().map(|record| {
        let content: Result<Value, _> = serde_json::from_str(&record.text);
        content.map_or_else(
            |_| record.text.clone(),
            |content| content["text"].as_str().unwrap().to_owned(),
        )
    });
    let texts: Vec<_> = texts.collect();
    sorted(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

fn sorted(texts: &[&str]) -> Vec<String> {
    let mut texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
    texts.sort_unstable();
    texts
}
