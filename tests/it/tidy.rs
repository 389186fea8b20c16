//! Holds the layout of ARCHITECTURE.md: arrows between modules only go down, some libraries are known to some modules
//! only, files stay short, and nothing half done or of one machine is left in a file.

mod files;
mod named;

use std::path::{Path, PathBuf};

use files::{Text, rust_files, test_modules, text_files};
use named::Named;

/// The modules from the top; a module may name those of its own line only where [`SIDEWAYS`] says so.
const LAYERS: [&[&str]; 7] = [
    &["main", "lib", "app"],
    &["cli", "console"],
    &["rpc", "layers"],
    &["broker", "events", "uploads"],
    &["handler", "store", "wire"],
    &["config", "error", "metrics", "telemetry"],
    &["types"],
];

/// Arrows that do not go down, each with its reason.
const SIDEWAYS: &[(&str, &str, &str)] = &[
    ("main", "app", "main is a list of steps over app"),
    (
        "cli",
        "app",
        "serving is a command, and app is what it runs",
    ),
    (
        "rpc",
        "layers",
        "a stream's slot is taken by a layer and held by the stream; pages tell why by who can reach them",
    ),
    (
        "handler",
        "store",
        "the built-in handlers plan what the store does, and read from it",
    ),
    (
        "handler",
        "wire",
        "a remote handler gets and gives messages of the contract",
    ),
    (
        "wire",
        "store",
        "an entry of the log is encoded once, for all its streams",
    ),
];

/// Names that only some files may say, each with its reason. A name also stands for what starts with it and `_`.
const RESERVED: &[(&str, &[&str], &str)] = &[
    (
        "tonic",
        &[
            "src/wire",
            "src/rpc",
            "src/layers",
            "src/handler/remote",
            "src/app",
            "src/cli/admin",
            "src/cli/bench",
            "src/telemetry",
        ],
        "the core does not know the wire; traces go over a channel of its kind; commands call Admin; the floor of the benchmark is a bare tonic service",
    ),
    (
        "async_nats",
        &["src/store/jetstream", "src/cli/bench"],
        "one engine is on NATS, and the benchmark beside it; no one else",
    ),
    (
        "prost",
        &[
            "src/wire",
            "src/rpc",
            "src/handler/remote",
            "src/events",
            "src/app",
            "src/cli",
        ],
        "what is stored has its own format, and plain data is plain",
    ),
];

const MAX_LINES: usize = 500;
/// What the header of a longer file says, with its reason.
const LONG_FILE_MARK: &str = "500 lines because";

/// Pieces, so that this file does not have what it looks for.
const UNFINISHED: &[&[&str]] = &[
    &["TO", "DO"],
    &["FIX", "ME"],
    &["todo", "!("],
    &["unimplemented", "!("],
    &["#[ig", "nore"],
];
const MACHINE_PATHS: &[&[&str]] = &[
    &["/ho", "me/"],
    &["/ro", "ot/"],
    &["/wo", "rk/"],
    &["/Us", "ers/"],
];

#[test]
fn arrows_only_go_down() {
    let files = rust_files();
    let tests_only: Vec<PathBuf> = files.iter().flat_map(test_modules).collect();
    let mut wrong = Vec::new();
    for file in &files {
        if !file.path.starts_with("src") || tests_only.contains(&file.path) {
            continue;
        }
        wrong.extend(violations(&file.path, &file.text));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn long_files_say_why() {
    let mut long = Vec::new();
    for file in rust_files() {
        long.extend(too_long(&file.text).map(|what| format!("{}: {what}", file.path.display())));
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn nothing_is_half_done_or_of_one_machine() {
    let mut found = Vec::new();
    for file in text_files() {
        for (index, line) in file.text.lines().enumerate() {
            let place = format!("{}:{}", file.path.display(), index + 1);
            found.extend(leftover(line).map(|what| format!("{place} has {what:?}")));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn an_upward_arrow_is_found() {
    let source = r#"
        //! crate::app in a comment is no arrow.
        use crate::{broker::{Broker, Request}, types::Topic};
        fn text() -> &'static str { "crate::app::App" }
        fn inside(event: &super::super::wire::proto::Event) { assert!(crate::rpc::is_open(event)); }
        pub(crate) fn own() -> crate::store::Position { Default::default() }
        #[cfg(test)]
        mod tests { use crate::app::App; }
    "#;
    let wrong = violations(Path::new("src/store/memory.rs"), source);
    assert_eq!(
        wrong,
        [
            "src/store/memory.rs: store may not name broker: arrows only go down",
            "src/store/memory.rs: store may not name wire: arrows only go down",
            "src/store/memory.rs: store may not name rpc: arrows only go down",
        ]
    );
}

#[test]
fn a_reserved_name_and_an_unknown_module_are_found() {
    let wrong = violations(
        Path::new("src/broker/core.rs"),
        "use tonic_web::GrpcWebLayer;",
    );
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(wrong[0].contains("tonic_web"), "{wrong:?}");
    assert_eq!(
        violations(Path::new("src/rpc/sync.rs"), "use tonic::Status;"),
        [""; 0]
    );

    let wrong = violations(Path::new("src/utils/mod.rs"), "use super::types::Topic;");
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(wrong[0].contains("utils is in no layer"), "{wrong:?}");
}

#[test]
fn a_sideways_arrow_needs_its_reason() {
    let source = "use crate::store::Effect;";
    assert_eq!(violations(Path::new("src/handler/mod.rs"), source), [""; 0]);
    let source = "use crate::handler::Registry;";
    assert_eq!(violations(Path::new("src/store/mod.rs"), source).len(), 1);
}

#[test]
fn test_modules_in_their_own_files_are_known() {
    let file = Text {
        path: "src/store/mod.rs".into(),
        text: "mod commit;\n#[cfg(test)]\nmod conformance;".into(),
    };
    let expected: Vec<PathBuf> = vec![
        "src/store/conformance.rs".into(),
        "src/store/conformance/mod.rs".into(),
    ];
    assert_eq!(test_modules(&file), expected);
}

#[test]
fn leftovers_and_long_files_are_found() {
    for pieces in UNFINISHED.iter().chain(MACHINE_PATHS) {
        let line = format!("let x = 1; // see {}x", pieces.concat());
        assert_eq!(leftover(&line), Some(pieces.concat()));
    }
    let path_in_a_url = format!("https://example.org{}page", MACHINE_PATHS[0].concat());
    assert_eq!(leftover(&path_in_a_url), None);

    let long = "let x = 1;\n".repeat(MAX_LINES + 1);
    assert!(too_long(&long).is_some());
    assert!(
        too_long(&format!(
            "//! Over {LONG_FILE_MARK} it is one table.\n{long}"
        ))
        .is_none()
    );
    assert!(too_long(&"let x = 1;\n".repeat(MAX_LINES)).is_none());
}

/// What a source file names that it may not name.
fn violations(path: &Path, source: &str) -> Vec<String> {
    let named = Named::of(path, source);
    let here = path.display();
    let module = top_module(path);
    let Some(level) = level_of(&module) else {
        return vec![format!(
            "{here}: {module} is in no layer: give it a place in tests/it/tidy.rs"
        )];
    };
    let mut wrong = Vec::new();
    for target in named.modules {
        // What is not a module is an item of the crate root, which has re-exports only.
        let Some(target_level) = level_of(&target) else {
            continue;
        };
        let listed = SIDEWAYS
            .iter()
            .any(|(from, to, _)| *from == module && *to == target);
        if target != module && target_level <= level && !listed {
            wrong.push(format!(
                "{here}: {module} may not name {target}: arrows only go down"
            ));
        }
    }
    for word in &named.words {
        for (name, homes, reason) in RESERVED {
            let said = word == name
                || word
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with('_'));
            let at_home = homes
                .iter()
                .any(|home| path.starts_with(home) || path.with_extension("") == Path::new(home));
            if said && !at_home {
                wrong.push(format!("{here}: {word} is reserved: {reason}"));
            }
        }
    }
    wrong
}

fn level_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// `src/store/memory/mod.rs` and `src/store.rs` are of `store`.
fn top_module(path: &Path) -> String {
    let below = path.strip_prefix("src").unwrap_or(path);
    let first = below.iter().next().expect("a file has a name");
    first.to_string_lossy().trim_end_matches(".rs").to_owned()
}

fn too_long(text: &str) -> Option<String> {
    let lines = text.lines().count();
    let mut header = text.lines().take_while(|line| line.starts_with("//"));
    let excused = header.any(|line| line.contains(LONG_FILE_MARK) || line.contains("@generated"));
    (lines > MAX_LINES && !excused).then(|| {
        format!("{lines} lines: cut it in two, or say \"over {LONG_FILE_MARK} …\" in its header")
    })
}

/// What a finished, public file has not.
fn leftover(line: &str) -> Option<String> {
    let unfinished = UNFINISHED.iter().map(|pieces| pieces.concat());
    if let Some(word) = unfinished.into_iter().find(|word| line.contains(word)) {
        return Some(word);
    }
    // Behind a letter or digit it is a part of a longer path or an address, and no machine's root.
    let of_a_machine = |path: &String| {
        line.match_indices(path.as_str()).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '.' || c == '}')
        })
    };
    MACHINE_PATHS
        .iter()
        .map(|pieces| pieces.concat())
        .find(of_a_machine)
}
