//! A real Chromium, and what a person does in it: by its DevTools protocol, over a pipe, so that neither a port nor a library is
//! needed.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::Mutex;

/// Chromium reads from 3 and writes to 4, which are the pipes that a child has anyway. Its own words are of no use here.
const OVER_PIPES: &str = r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#;
const OPTIONS: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    // Containers have little of it.
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--no-first-run",
    "--remote-debugging-pipe",
];
/// In ms, and more than anything needs on a busy machine.
const PATIENCE: u32 = 60_000;

/// A browser of somebody who has never been anywhere. Its processes end when this is dropped.
#[derive(Debug)]
pub struct Browser {
    /// The first of a group of its own.
    child: Child,
    pipe: Arc<Mutex<Pipe>>,
    /// All that it writes. Removed after it has ended.
    _directory: TempDir,
}

/// A page in a browser. It stays open when this is dropped.
#[derive(Debug)]
pub struct Tab {
    pipe: Arc<Mutex<Pipe>>,
    target: Value,
    session: Value,
}

#[derive(Debug)]
struct Pipe {
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    /// The id of the last call.
    last: u64,
}

impl Browser {
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// With more of Chromium's options.
    pub fn with(options: &[String]) -> Self {
        let directory = TempDir::new().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", OVER_PIPES, "sh", "chromium"])
            .args(OPTIONS)
            .args(options)
            .arg(format!("--user-data-dir={}", directory.path().display()))
            .env("TMPDIR", directory.path())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh is there");
        let to = child.stdin.take().expect("it is piped");
        let from = child.stdout.take().expect("it is piped");
        let pipe = Pipe {
            to: ChildStdin::from_std(to).unwrap(),
            from: BufReader::new(ChildStdout::from_std(from).unwrap()),
            last: 0,
        };
        Self {
            child,
            pipe: Arc::new(Mutex::new(pipe)),
            _directory: directory,
        }
    }

    /// In a window of its own, so that it is seen as long as it is there.
    pub async fn open(&self, url: &str) -> Tab {
        let tab = self.tab(json!({ "url": "about:blank", "newWindow": true }));
        let tab = tab.await;
        tab.go(url).await;
        tab
    }

    /// In front of the others of a window.
    pub async fn open_in_front(&self, url: &str) -> Tab {
        let tab = self.tab(json!({ "url": "about:blank" })).await;
        tab.go(url).await;
        tab
    }

    /// A page whose timers are that many times quicker.
    pub async fn open_in_haste(&self, url: &str, times: u32) -> Tab {
        let tab = self.tab(json!({ "url": "about:blank", "newWindow": true }));
        let tab = tab.await;
        let quicker = format!(
            "{{ const slow = setTimeout; setTimeout = (then, ms) => slow(then, ms / {times}); }}"
        );
        tab.call("Page.enable", json!({})).await;
        let script = json!({ "source": quicker });
        tab.call("Page.addScriptToEvaluateOnNewDocument", script)
            .await;
        tab.go(url).await;
        tab
    }

    /// As `Chrome/156.0.8078.79`.
    pub async fn version(&self) -> String {
        let mut pipe = self.pipe.lock().await;
        let told = pipe.call(None, "Browser.getVersion", json!({})).await;
        told["product"].as_str().unwrap().to_owned()
    }

    async fn tab(&self, asked: Value) -> Tab {
        let mut pipe = self.pipe.lock().await;
        let target = pipe.call(None, "Target.createTarget", asked).await["targetId"].take();
        let asked = json!({ "targetId": target, "flatten": true });
        let session = pipe.call(None, "Target.attachToTarget", asked).await["sessionId"].take();
        Tab {
            pipe: self.pipe.clone(),
            target,
            session,
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its children write where it does: all of them, and not only the first.
        let group = Pid::from_child(&self.child);
        kill_process_group(group, Signal::KILL).expect("it was not waited for");
        self.child.wait().expect("it was not waited for");
    }
}

impl Tab {
    /// Returns when the page that was there is gone.
    pub async fn go(&self, url: &str) {
        let gone = self.call("Page.navigate", json!({ "url": url })).await;
        assert!(gone["errorText"].is_null(), "{url}: {gone}");
    }

    /// What a script comes to.
    pub async fn eval(&self, script: &str) -> Value {
        let asked = json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
        let mut answer = self.call("Runtime.evaluate", asked).await;
        let failed = &answer["exceptionDetails"];
        assert!(failed.is_null(), "{script}: {failed}");
        answer["result"]["value"].take()
    }

    /// Waits until a script comes to something. The other tabs of the browser wait with it.
    pub async fn until(&self, condition: &str) -> Value {
        let met = format!(
            "new Promise((met, not) => {{
                const begun = Date.now();
                const looking = setInterval(() => {{
                    let is;
                    try {{ is = {condition}; }} catch {{ /* Not yet. */ }}
                    const late = Date.now() - begun > {PATIENCE};
                    if (is || late) clearInterval(looking);
                    if (is) met(is);
                    else if (late) not(new Error('it shows ' + document.body?.innerText));
                }}, 10);
            }})"
        );
        self.eval(&met).await
    }

    /// Where the cursor is.
    pub async fn write(&self, text: &str) {
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    pub async fn press_enter(&self) {
        let key = |kind| json!({ "type": kind, "key": "Enter", "windowsVirtualKeyCode": 13, "text": "\r" });
        for kind in ["keyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", key(kind)).await;
        }
    }

    /// With the mouse, in the middle of it.
    pub async fn click(&self, selector: &str) {
        let middle = format!(
            "(() => {{
                const found = document.querySelector({selector:?});
                found.scrollIntoView();
                const {{ x, y, width, height }} = found.getBoundingClientRect();
                return [x + width / 2, y + height / 2];
            }})()"
        );
        let at = self.eval(&middle).await;
        for kind in ["mousePressed", "mouseReleased"] {
            let event =
                json!({ "type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event).await;
        }
    }

    pub async fn bring_to_front(&self) {
        self.call("Page.bringToFront", json!({})).await;
    }

    pub async fn close(self) {
        let mut pipe = self.pipe.lock().await;
        let target = json!({ "targetId": self.target });
        pipe.call(None, "Target.closeTarget", target).await;
    }

    /// For somebody to look at: the file, where the tests leave such things.
    pub async fn picture(&self, name: &str, width: u32, scheme: &str) -> PathBuf {
        let size =
            json!({ "width": width, "height": 760, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        let media = json!({ "features": scheme });
        self.call("Emulation.setEmulatedMedia", media).await;
        // What appears slowly is there.
        self.eval("Promise.all(document.getAnimations().map((shown) => shown.finished))")
            .await;
        let taken = self.call("Page.captureScreenshot", json!({})).await;
        let bytes = BASE64_STANDARD.decode(taken["data"].as_str().unwrap());
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&file, bytes.unwrap()).unwrap();
        file
    }

    async fn call(&self, method: &str, asked: Value) -> Value {
        let mut pipe = self.pipe.lock().await;
        pipe.call(Some(&self.session), method, asked).await
    }
}

impl Pipe {
    async fn call(&mut self, session: Option<&Value>, method: &str, asked: Value) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": asked });
        if let Some(session) = session {
            message["sessionId"] = session.clone();
        }
        let mut bytes = serde_json::to_vec(&message).unwrap();
        bytes.push(0);
        let missing = "chromium is not there, or ended: make tools installs it";
        self.to.write_all(&bytes).await.expect(missing);
        loop {
            let mut bytes = Vec::new();
            let read = self.from.read_until(0, &mut bytes).await.unwrap();
            assert!(read > 0, "{missing}");
            bytes.pop();
            let mut answer: Value = serde_json::from_slice(&bytes).unwrap();
            // Everything else tells what happens, and nobody asked for it.
            if answer["id"] == self.last {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].take();
            }
        }
    }
}
