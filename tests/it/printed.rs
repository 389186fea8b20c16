//! What is printed is what can be typed: the commands of README.md's shell blocks, and the examples of every `--help`.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tidegate_client::Client;
use tidegate_client::proto::Packet;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::support::{Process, Running, Service};

/// More than any of them needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Those that have an end of their own, and not with 0.
const ENDS: [(&str, i32); 5] = [
    // No dead letter has this number.
    ("tidegate dead-letters retry 17 18", 1),
    ("tidegate dead-letters retry 17", 1),
    ("tidegate dead-letters discard 17 --yes", 1),
    // Somebody is asked, and nobody is there.
    ("tidegate clear orders", 64),
    ("tidegate clear orders update", 64),
];

/// Measures for minutes, installs, or is run by another test.
const ELSEWHERE: [&str; 5] = ["tidegate bench", "cargo ", "make ", "docker ", "sudo "];

#[tokio::test]
async fn shows_5_1_what_readme_and_help_print_runs_as_printed() {
    let folder = Folder::new();
    let mut gateway = folder.gateway().await;
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let printed = commands(&readme);
    let (mut ran, mut helped) = (0, 0);
    for line in &printed {
        gateway = folder.run(line, gateway).await;
        ran += 1;
    }
    assert!(ran >= 12, "README.md has commands: {printed:#?}");

    let commands = subcommands();
    for command in &commands {
        let help = folder.help(command).await;
        for line in examples(&help) {
            gateway = folder.run(&line, gateway).await;
            helped += 1;
        }
    }
    assert!(helped >= 35, "{helped} examples are printed");
    drop(gateway);
    println!(
        "SHOWS 5.1 {ran} commands of README.md beside grpcurl's, and {helped} examples of the --help of {} commands, run as printed",
        commands.len()
    );
}

/// In an order in which each finds what it is about.
fn subcommands() -> Vec<Vec<&'static str>> {
    let names = "info|put|get|send|publish|list|watch|delete|lanes|flush|clear|dead-letters|streams|backup|drain|store|serve|check|\
                 completions|man";
    names.split('|').map(|name| vec![name]).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The lines of shell blocks that are not grpcurl's, which readme.rs runs.
fn commands(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside && !line.starts_with("grpcurl") => commands.push(line.to_owned()),
            _ => {}
        }
    }
    commands.retain(|line| !ELSEWHERE.iter().any(|other| line.starts_with(other)));
    commands
}

fn examples(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Examples:").skip(1);
    let examples = lines.take_while(|line| !line.is_empty());
    let examples = examples.map(|line| line.trim().to_owned());
    examples
        .filter(|line| !ELSEWHERE.iter().any(|other| line.starts_with(other)))
        .collect()
}

/// Where somebody types.
struct Folder {
    directory: tempfile::TempDir,
    /// Where orders go.
    _orders: Running,
}

impl Folder {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write("today.log", "one\ntwo\n");
        write("people.jsonl", "{\"id\":3,\"name\":\"Alan\"}\n");
        write(
            "todo.jsonl",
            "{\"handler\":\"todos\",\"action\":\"create\",\"text\":\"x\"}\n",
        );
        write("cat.png", "PNG");
        for home in [
            ".local/share/bash-completion/completions",
            ".zfunc",
            ".config/fish/completions",
        ] {
            fs::create_dir_all(directory.path().join(home)).unwrap();
        }
        let orders = Service::echo();
        let addresses = format!("addresses = [\"{}\"]", orders.uri());
        let names = ["todos", "people", "pictures", "logs"];
        let collections = names.map(|name| format!("[handlers.{name}]\n")).concat();
        let config = format!("{collections}[handlers.orders]\nkind = \"grpc\"\n{addresses}\n");
        write("tidegate.toml", &config);
        Self {
            directory,
            _orders: orders.begin(),
        }
    }

    /// Begun in the folder, with everything in `tidegate-data`.
    async fn gateway(&self) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--config",
            "tidegate.toml",
        ]);
        Process::spawn(command.current_dir(self.directory.path())).await
    }

    fn command(&self, gateway: Option<&Process>) -> Command {
        let bin = Path::new(env!("CARGO_BIN_EXE_tidegate")).parent().unwrap();
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new("bash");
        command
            .current_dir(self.directory.path())
            .env("HOME", self.directory.path())
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("TIDEGATE_SERVER__LISTEN", "127.0.0.1:0")
            .env("TIDEGATE_ADMIN__LISTEN", "127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(gateway) = gateway {
            command.env("TIDEGATE_GATEWAY", gateway.uri());
        }
        command
    }

    async fn help(&self, command: &[&str]) -> String {
        let line = format!("tidegate {} --help", command.join(" "));
        let output = self.ended(&line, None).await;
        String::from_utf8(output.stdout).unwrap()
    }

    /// Gives the gateway that is there afterwards.
    async fn run(&self, line: &str, gateway: Process) -> Process {
        let typed = line.split(" #").next().unwrap_or(line).trim_end();
        if typed.starts_with("tidegate serve") || typed.starts_with("tidegate store") {
            // One process has the directory.
            assert!(gateway.stop().await.success());
            match typed.starts_with("tidegate serve") {
                true => self.served(line).await,
                false => self.expect(line, typed, None).await,
            }
            return self.gateway().await;
        }
        if typed == "tidegate drain" {
            self.expect(line, typed, Some(&gateway)).await;
            assert_eq!(gateway.ended().await.0, Some(0));
            return self.gateway().await;
        }
        match typed.starts_with("tidegate watch") && !typed.contains("--count") {
            true => self.watched(line, &gateway).await,
            false => self.expect(line, typed, Some(&gateway)).await,
        }
        gateway
    }

    async fn expect(&self, line: &str, typed: &str, gateway: Option<&Process>) {
        let output = self.ended(line, gateway).await;
        let end = ENDS.iter().find(|(command, _)| *command == typed);
        let end = end.map_or(0, |(_, code)| *code);
        assert_eq!(
            output.status.code(),
            Some(end),
            "{line}\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    async fn ended(&self, line: &str, gateway: Option<&Process>) -> Output {
        // A pipe fails with the first of its commands that does.
        let mut command = self.command(gateway);
        let running = command.args(["-o", "pipefail", "-c", line]).output();
        let output = timeout(PATIENCE, running).await;
        output
            .unwrap_or_else(|_| panic!("{line} has no end"))
            .unwrap()
    }

    /// It has no end of its own: something comes, and Ctrl-C ends it.
    async fn watched(&self, line: &str, gateway: &Process) {
        let mut watching = self.begun(line, Some(gateway));
        let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
        let client = Client::connect(gateway.uri()).await.unwrap();
        let coming = async {
            // What begins now must be there before something comes.
            loop {
                let said = Packet::publish("chat.kitchen").text("hello");
                client.sync(said).await.unwrap();
                let put = Packet::put("todos", "tea").text("buy tea");
                client.sync(put).await.unwrap();
                let next = timeout(Duration::from_millis(50), lines.next_line());
                if let Ok(line) = next.await {
                    return line.unwrap();
                }
            }
        };
        let first = timeout(PATIENCE, coming).await.expect("something comes");
        assert!(first.is_some(), "{line} ended");
        interrupt(&watching);
        let ended = timeout(PATIENCE, watching.wait_with_output()).await;
        let output = ended.expect("Ctrl-C ends it").unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{told}");
        assert!(told.contains("--from "), "{told}");
    }

    /// Until it says where it listens, and SIGTERM.
    async fn served(&self, line: &str) {
        let mut serving = self.begun(line, None);
        let mut lines = BufReader::new(serving.stdout.take().unwrap()).lines();
        let first = timeout(PATIENCE, lines.next_line()).await.unwrap();
        let first = first.unwrap();
        assert!(
            first.is_some_and(|line| line.contains("listening on")),
            "{line}"
        );
        interrupt(&serving);
        while let Some(_rest) = lines.next_line().await.unwrap() {}
        let ended = timeout(PATIENCE, serving.wait()).await.unwrap();
        assert!(ended.unwrap().success(), "{line}");
    }

    fn begun(&self, line: &str, gateway: Option<&Process>) -> Child {
        let mut command = self.command(gateway);
        command.args(["-c", &format!("exec {line}")]);
        command.spawn().unwrap()
    }
}

fn interrupt(child: &Child) {
    let id = child.id().expect("it was not waited for").cast_signed();
    kill_process(Pid::from_raw(id).unwrap(), Signal::INT).unwrap();
}
